/*
 * slot_test.c - verdicts on slots: every way to lose one, and what only looks like it.
 */
#include "slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const ServerIdentity here = {"7000", 1};
static const ServerIdentity elsewhere = {"8000", 1};

/* A healthy slot, halfway through its life; tests change one thing. */
typedef struct Situation {
    SlotFacts facts;
    SlotExpectation expected;
    Positions positions;
    Failure reason;
    uint16_t highest_epoch;
} Situation;

static Situation healthy(void)
{
    Situation s = {.facts = {.identity = here,
                             .server_lsn = 5000,
                             .exists = true,
                             .is_ours = true,
                             .confirmed_lsn = 3000},
                   .expected = {.pipeline = "shop",
                                .slot = "walhouse_shop",
                                .system_identifier = "7000",
                                .timeline = 1,
                                .epoch = 2,
                                .has_slot_lsn = true,
                                .slot_lsn = 1000}};

    return s;
}

static void remember(Situation *s, const char *pipeline, uint16_t epoch, uint64_t lsn,
                     ServerIdentity identity)
{
    PositionRecord record = {.epoch = epoch, .lsn = lsn, .identity = identity};

    (void)snprintf(record.pipeline, sizeof record.pipeline, "%s", pipeline);
    positions_take(&s->positions, &record);
}

static SlotVerdict judge(Situation *s)
{
    return slot_judge(&s->facts, &s->expected, &s->positions, &s->highest_epoch, &s->reason);
}

static void assert_lost(Situation *s, const char *reason)
{
    assert_int_equal(judge(s), SLOT_LOST);
    if (strstr(s->reason.text, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", s->reason.text, reason);
}

static void a_slot_behind_or_at_the_position_is_usable(void **state)
{
    Situation s = healthy();

    (void)state;
    remember(&s, "shop", 2, 3000, here);
    assert_int_equal(judge(&s), SLOT_USABLE);
    /* What was recorded and not confirmed comes again. */
    s.facts.confirmed_lsn = 2000;
    assert_int_equal(judge(&s), SLOT_USABLE);
}

static void a_slot_beyond_the_position_is_lost(void **state)
{
    Situation s = healthy();

    (void)state;
    remember(&s, "shop", 2, 2999, here);
    assert_lost(&s, "Kafka has everything only up to 0/BB7");
}

static void a_new_slot_needs_no_position(void **state)
{
    Situation s = healthy();

    (void)state;
    s.facts.confirmed_lsn = 1000;
    assert_int_equal(judge(&s), SLOT_USABLE);
    /* Made anew after the epoch was raised, or after the pipeline was dropped and created again. */
    remember(&s, "shop", 1, 900, here);
    assert_int_equal(judge(&s), SLOT_USABLE);
    s.expected.epoch = 1;
    assert_int_equal(judge(&s), SLOT_USABLE);
    s.facts.confirmed_lsn = 1001;
    assert_lost(&s, "only up to 0/3E8");
}

static void topics_without_a_position_lose_a_slot_that_was_read(void **state)
{
    Situation s = healthy();

    (void)state;
    assert_lost(&s, "not the topics");
}

static void the_slot_itself_may_be_gone(void **state)
{
    Situation s = healthy();

    (void)state;
    s.facts.is_lost = true;
    assert_lost(&s, "max_slot_wal_keep_size");
    s = healthy();
    s.facts.is_lost = true;
    (void)snprintf(s.facts.invalidation, sizeof s.facts.invalidation, "wal_level_insufficient");
    assert_lost(&s, "wal_level_insufficient");
    s = healthy();
    s.facts.is_ours = false;
    assert_lost(&s, "not a logical slot of output plugin walhouse");
    s = healthy();
    s.facts.exists = false;
    assert_lost(&s, "does not exist");
}

static void another_server_or_past_is_a_loss_and_needs_no_kafka(void **state)
{
    Situation s = healthy();

    (void)state;
    s.facts.identity = elsewhere;
    assert_lost(&s, "another Postgres");
    s = healthy();
    s.facts.identity.timeline = 2;
    assert_int_equal(slot_judge(&s.facts, &s.expected, NULL, &s.highest_epoch, &s.reason), SLOT_LOST);
    assert_non_null(strstr(s.reason.text, "timeline 2"));
    s = healthy();
    remember(&s, "shop", 2, 6000, here);
    assert_lost(&s, "an older state of the server was restored");
    s = healthy();
    assert_int_equal(slot_judge(&s.facts, &s.expected, NULL, &s.highest_epoch, &s.reason), SLOT_USABLE);
}

static void an_epoch_that_others_have_used_is_raised(void **state)
{
    Situation s = healthy();

    (void)state;
    s.facts.confirmed_lsn = 1000;
    remember(&s, "shop", 2, 99000, elsewhere);
    assert_int_equal(judge(&s), SLOT_EPOCH_TOO_LOW);
    assert_int_equal(s.highest_epoch, 2);
    remember(&s, "old_shop", 9, 99000, elsewhere);
    assert_int_equal(judge(&s), SLOT_EPOCH_TOO_LOW);
    assert_int_equal(s.highest_epoch, 9);
    /* Another pipeline of this server shares its LSNs. */
    s.positions = (Positions){.count = 0};
    remember(&s, "sister", 2, 4000, here);
    assert_int_equal(judge(&s), SLOT_USABLE);
    /* And once this one has produced under its epoch, that is its own. */
    remember(&s, "shop", 2, 1000, here);
    remember(&s, "sister", 5, 4000, here);
    assert_int_equal(judge(&s), SLOT_USABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_behind_or_at_the_position_is_usable),
        cmocka_unit_test(a_slot_beyond_the_position_is_lost),
        cmocka_unit_test(a_new_slot_needs_no_position),
        cmocka_unit_test(topics_without_a_position_lose_a_slot_that_was_read),
        cmocka_unit_test(the_slot_itself_may_be_gone),
        cmocka_unit_test(another_server_or_past_is_a_loss_and_needs_no_kafka),
        cmocka_unit_test(an_epoch_that_others_have_used_is_raised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
