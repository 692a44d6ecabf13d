/*
 * busy_day.c - simulated shoppers; see busy_day.h.
 *
 * They share one timetable: whoever is free takes its next moment. Moments that nobody was free for are
 * dropped, so that a shop that was away is not overrun when it is back.
 */
#include "storefront/busy_day.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/condition.h"
#include "storefront/shop.h"
#include "storefront/shopper.h"

#define LATE_MAX_US    1000000
#define FAILED_REST_US 1000000 /* of the shopper, where the shop does not answer */

struct BusyDay {
    Pool *pool;
    unsigned rate_max;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t threads[BUSY_DAY_THREADS];
    unsigned thread_count;
    bool leaving;
    bool running;
    unsigned rate;
    int64_t next_at; /* CLOCK_MONOTONIC in us, as ends_at */
    int64_t ends_at;
    uint64_t seed;
    int64_t placed;
    int64_t sold_out;
    int64_t failed;
};

static int64_t now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

static ShopResult go_shopping(Pool *pool, uint64_t *random)
{
    ShopAnswer products = {0}, placed = {0};
    OrderRequest order;
    ShopResult result = shop_products(pool, &products);

    if (result == SHOP_OK)
        result = shopper_choose(products.json, random, &order) ? shop_place_order(pool, &order, &placed)
                                                               : SHOP_OUT_OF_STOCK;
    free(products.json);
    free(placed.json);
    return result;
}

static void count(BusyDay *day, ShopResult result)
{
    if (result == SHOP_OK)
        day->placed++;
    else if (result == SHOP_OUT_OF_STOCK)
        day->sold_out++;
    else
        day->failed++;
}

/* ---- with the lock ---- */

static void wait_until(BusyDay *day, int64_t at)
{
    (void)condition_wait(&day->changed, &day->lock, at);
}

/* Is it this shopper's turn? Where not, it has waited for a while. */
static bool take_turn(BusyDay *day)
{
    int64_t now = now_us();

    if (day->running && now >= day->ends_at)
        day->running = false;
    if (!day->running) {
        (void)pthread_cond_wait(&day->changed, &day->lock);
        return false;
    }
    if (now < day->next_at) {
        wait_until(day, day->next_at < day->ends_at ? day->next_at : day->ends_at);
        return false;
    }
    if (now - day->next_at > LATE_MAX_US)
        day->next_at = now;
    day->next_at += 1000000 / day->rate;
    return true;
}

static void rest(BusyDay *day)
{
    int64_t until = now_us() + FAILED_REST_US;

    while (!day->leaving && day->running && now_us() < until)
        wait_until(day, until);
}

static void *shopper(void *context)
{
    BusyDay *day = context;
    uint64_t random;

    (void)pthread_mutex_lock(&day->lock);
    random = ++day->seed * 0x9E3779B97F4A7C15u;
    while (!day->leaving) {
        ShopResult result;

        if (!take_turn(day))
            continue;
        (void)pthread_mutex_unlock(&day->lock);
        result = go_shopping(day->pool, &random);
        (void)pthread_mutex_lock(&day->lock);
        count(day, result);
        if (result != SHOP_OK && result != SHOP_OUT_OF_STOCK)
            rest(day);
    }
    (void)pthread_mutex_unlock(&day->lock);
    return NULL;
}

/* ---- opening and closing ---- */

static bool init_locks(BusyDay *day)
{
    if (!condition_init(&day->changed))
        return false;
    if (pthread_mutex_init(&day->lock, NULL) == 0)
        return true;
    (void)pthread_cond_destroy(&day->changed);
    return false;
}

BusyDay *busy_day_new(Pool *pool, unsigned rate_max)
{
    BusyDay *day = calloc(1, sizeof *day);

    if (day == NULL || !init_locks(day)) {
        free(day);
        return NULL;
    }
    day->pool = pool;
    day->rate_max = rate_max;
    day->seed = (uint64_t)clock_wall_us();
    while (rate_max > 0 && day->thread_count < BUSY_DAY_THREADS) {
        if (pthread_create(&day->threads[day->thread_count], NULL, shopper, day) != 0) {
            busy_day_free(day);
            return NULL;
        }
        day->thread_count++;
    }
    return day;
}

void busy_day_free(BusyDay *day)
{
    if (day == NULL)
        return;
    (void)pthread_mutex_lock(&day->lock);
    day->leaving = true;
    (void)pthread_cond_broadcast(&day->changed);
    (void)pthread_mutex_unlock(&day->lock);
    for (unsigned i = 0; i < day->thread_count; i++)
        (void)pthread_join(day->threads[i], NULL);
    (void)pthread_cond_destroy(&day->changed);
    (void)pthread_mutex_destroy(&day->lock);
    free(day);
}

/* ---- what others do and see ---- */

bool busy_day_start(BusyDay *day, unsigned rate)
{
    if (rate == 0)
        rate = day->rate_max < BUSY_DAY_RATE ? day->rate_max : BUSY_DAY_RATE;
    if (rate == 0 || rate > day->rate_max)
        return false;
    (void)pthread_mutex_lock(&day->lock);
    day->running = true;
    day->rate = rate;
    day->placed = day->sold_out = day->failed = 0;
    day->next_at = now_us();
    day->ends_at = day->next_at + BUSY_DAY_S * INT64_C(1000000);
    (void)pthread_cond_broadcast(&day->changed);
    (void)pthread_mutex_unlock(&day->lock);
    return true;
}

void busy_day_stop(BusyDay *day)
{
    (void)pthread_mutex_lock(&day->lock);
    day->running = false;
    (void)pthread_cond_broadcast(&day->changed);
    (void)pthread_mutex_unlock(&day->lock);
}

char *busy_day_json(BusyDay *day)
{
    int64_t left;
    json_t *json;
    char *text;

    (void)pthread_mutex_lock(&day->lock);
    left = day->running ? day->ends_at - now_us() : 0;
    json = json_pack("{s:b, s:i, s:i, s:I, s:I, s:I, s:I}", "running", left > 0, "rate", (int)day->rate,
                     "rate_max", (int)day->rate_max, "placed", (json_int_t)day->placed, "sold_out",
                     (json_int_t)day->sold_out, "failed", (json_int_t)day->failed, "ends_in_s",
                     left > 0 ? (json_int_t)((left + 999999) / 1000000) : (json_int_t)0);
    (void)pthread_mutex_unlock(&day->lock);
    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}
