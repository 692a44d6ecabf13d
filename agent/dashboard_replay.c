/*
 * dashboard_replay.c - dead letters replayed by the dashboard's button; see dashboard_replay.h.
 *
 *      request --> token? --> reason and number? --> thread --> walhouse-agent dlq replay --> what it said
 *
 * The token is no cookie: a page of somebody else's cannot make a browser send it.
 */
#include "agent/dashboard_replay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/metrics.h"
#include "agent/report.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/secret_file.h"

#define TOKEN_BYTES_MIN   16
#define LETTERS_MAX       1000000
#define MESSAGE_BYTES_MAX 400 /* the rest of what it says is in nobody's way */
#define TIME_MAX_MS       300000

struct Replay {
    const Config *config;
    char token[SECRET_BYTES_MAX + 1]; /* "": off */
    pthread_mutex_t lock;
    pthread_t thread;
    bool has_thread; /* to be joined */
    bool running;
    bool stop;
    const char *reason;
    int64_t letters;
    int64_t ended_at_ms; /* of the last one; 0: there was none */
    bool done;
    char message[MESSAGE_BYTES_MAX];
};

/* ---- life ---- */

static Status read_token(Replay *replay, Error *error)
{
    const char *path = replay->config->http_replay_token_file;
    char problem[128];

    if (!secret_file_read(path, TOKEN_BYTES_MIN, replay->token, problem, sizeof problem))
        return status_fail(error, STATUS_FATAL, "[http] replay_token_file %s %s", path, problem);
    return STATUS_OK;
}

Replay *replay_open(const Config *config, Error *error)
{
    Replay *replay = calloc(1, sizeof *replay);

    if (replay == NULL || pthread_mutex_init(&replay->lock, NULL) != 0) {
        free(replay);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    replay->config = config;
    if (config->http_replay_token_file[0] == '\0' || read_token(replay, error) == STATUS_OK)
        return replay;
    replay_close(replay);
    return NULL;
}

void replay_close(Replay *replay)
{
    if (replay == NULL)
        return;
    (void)pthread_mutex_lock(&replay->lock);
    replay->stop = true;
    (void)pthread_mutex_unlock(&replay->lock);
    if (replay->has_thread)
        (void)pthread_join(replay->thread, NULL);
    (void)pthread_mutex_destroy(&replay->lock);
    free(replay);
}

/* ---- the process ---- */

static bool set_up(posix_spawn_file_actions_t *files, posix_spawnattr_t *attributes, int output)
{
    sigset_t none, defaults;

    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGTERM);
    (void)sigaddset(&defaults, SIGINT);
    (void)sigaddset(&defaults, SIGHUP);
    (void)sigaddset(&defaults, SIGPIPE);
    return posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0) == 0 &&
           posix_spawn_file_actions_adddup2(files, output, STDOUT_FILENO) == 0 &&
           posix_spawn_file_actions_adddup2(files, output, STDERR_FILENO) == 0 &&
           posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1) == 0 &&
           posix_spawnattr_setsigmask(attributes, &none) == 0 &&
           posix_spawnattr_setsigdefault(attributes, &defaults) == 0 &&
           posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0;
}

/* The process, 0: it could not be started. */
static pid_t start(const Replay *replay, int output)
{
    const char *path = replay->config->path;
    char limit[32];
    const char *words[] = {
        "walhouse-agent",         "dlq", "replay", "--reason", replay->reason, "--limit", limit,
        path ? "--config" : NULL, path,  NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    pid_t child = 0;
    /* Its type is older than const; nothing is written there. */
    char *const *argv = (char *const *)(uintptr_t)words;

    (void)snprintf(limit, sizeof limit, "%lld", (long long)replay->letters);
    if (posix_spawn_file_actions_init(&files) != 0)
        return 0;
    if (posix_spawnattr_init(&attributes) == 0) {
        if (!set_up(&files, &attributes, output) ||
            posix_spawn(&child, "/proc/self/exe", &files, &attributes, argv, environ) != 0)
            child = 0;
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    return child;
}

static bool is_stopped(Replay *replay)
{
    bool stop;

    (void)pthread_mutex_lock(&replay->lock);
    stop = replay->stop;
    (void)pthread_mutex_unlock(&replay->lock);
    return stop;
}

/* Until the process has closed its end, or takes too long: then false. What does not fit is passed over. */
static bool read_output(Replay *replay, int input, char *text, size_t size)
{
    int64_t until = clock_ms() + TIME_MAX_MS;
    size_t length = 0;

    while (clock_ms() < until && !is_stopped(replay)) {
        struct pollfd end = {.fd = input, .events = POLLIN};
        char bytes[512];
        ssize_t got;

        if (poll(&end, 1, 200) <= 0)
            continue;
        got = read(input, bytes, sizeof bytes);
        if (got <= 0)
            return got == 0;
        if ((size_t)got > size - 1 - length)
            got = (ssize_t)(size - 1 - length);
        memcpy(text + length, bytes, (size_t)got);
        length += (size_t)got;
        text[length] = '\0';
    }
    return false;
}

static bool run_child(Replay *replay, char *text, size_t size)
{
    int ends[2];
    pid_t child;
    int status = 0;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        (void)snprintf(text, size, "no pipe: %s", strerror(errno));
        return false;
    }
    child = start(replay, ends[1]);
    (void)close(ends[1]);
    if (child == 0) {
        (void)snprintf(text, size, "walhouse-agent dlq replay could not be started");
        (void)close(ends[0]);
        return false;
    }
    if (!read_output(replay, ends[0], text, size)) {
        (void)kill(child, SIGKILL);
        (void)snprintf(text, size, "it was ended after %d s; doing it again does no harm",
                       TIME_MAX_MS / 1000);
    }
    (void)close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void *run(void *context)
{
    Replay *replay = context;
    char text[MESSAGE_BYTES_MAX] = "";
    bool done = run_child(replay, text, sizeof text);

    text[strcspn(text, "\n")] = '\0';
    log_info("replay of %lld letters (%s) by the dashboard: %s", (long long)replay->letters, replay->reason,
             text);
    (void)pthread_mutex_lock(&replay->lock);
    memcpy(replay->message, text, sizeof text);
    replay->done = done;
    replay->ended_at_ms = clock_wall_us() / 1000;
    replay->running = false;
    (void)pthread_mutex_unlock(&replay->lock);
    return NULL;
}

/* ---- the request ---- */

static void refuse(HttpdResponse *response, unsigned status, const char *code, const char *message)
{
    char text[300];

    (void)snprintf(text, sizeof text, "{\"error\": {\"code\": \"%s\", \"message\": \"%s\"}}\n", code,
                   message);
    (void)httpd_reply_text(response, status, "application/json", text);
}

/* In a time that does not tell how much of it is right. */
static bool token_fits(const char *token, const char *header)
{
    static const char scheme[] = "Bearer ";
    const char *given =
        header && strncmp(header, scheme, sizeof scheme - 1) == 0 ? header + sizeof scheme - 1 : "";
    size_t size = strlen(given);
    unsigned differs = size != strlen(token);

    for (size_t i = 0; token[i]; i++)
        differs |= (unsigned char)token[i] ^ (unsigned char)(size ? given[i % size] : 0);
    return differs == 0;
}

/* NULL: there is no such reason, or no letter of it could be replayed. */
static const char *known_reason(const char *name)
{
    for (int i = 0; name && i < REASON_COUNT; i++)
        if (i != REASON_TOO_LARGE && strcmp(reason_code((Reason)i), name) == 0)
            return reason_code((Reason)i);
    return NULL;
}

/* false: one runs already. */
static bool begin(Replay *replay, const char *reason, int64_t letters)
{
    bool begun;

    (void)pthread_mutex_lock(&replay->lock);
    begun = !replay->running && !replay->stop;
    if (begun && replay->has_thread) {
        /* It has said that it has ended. */
        (void)pthread_join(replay->thread, NULL);
        replay->has_thread = false;
    }
    if (begun) {
        replay->reason = reason;
        replay->letters = letters;
        begun = replay->has_thread = replay->running =
            pthread_create(&replay->thread, NULL, run, replay) == 0;
    }
    (void)pthread_mutex_unlock(&replay->lock);
    return begun;
}

void replay_answer(Replay *replay, const HttpdRequest *request, HttpdResponse *response)
{
    json_t *wish;
    const char *reason;
    int64_t letters;

    if (replay->token[0] == '\0') {
        refuse(response, 404, "replay_is_off", "[http] replay_token_file is not set.");
        return;
    }
    if (!token_fits(replay->token, httpd_header(request, "Authorization"))) {
        log_warning("a replay of dead letters was asked for over HTTP without the right token");
        refuse(response, 401, "wrong_token", "The token is not the one in the agent's file.");
        return;
    }
    wish = json_loadb(request->body ? request->body : "", request->body_size, 0, NULL);
    reason = known_reason(json_string_value(json_object_get(wish, "reason")));
    letters = (int64_t)json_integer_value(json_object_get(wish, "letters"));
    json_decref(wish);
    if (reason == NULL || letters < 1 || letters > LETTERS_MAX)
        refuse(response, 400, "not_understood",
               "It takes a reason that can be replayed and a number of letters.");
    else if (!begin(replay, reason, letters))
        refuse(response, 409, "running", "A replay is running.");
    else
        (void)httpd_reply_text(response, 202, "application/json", "{\"status\": \"begun\"}\n");
}

json_t *replay_state(Replay *replay)
{
    json_t *state;

    (void)pthread_mutex_lock(&replay->lock);
    state = json_pack(
        "{s:b, s:b, s:o}", "offered", replay->token[0] != '\0', "running", replay->running, "last",
        replay->ended_at_ms == 0
            ? json_null()
            : json_pack("{s:I, s:s, s:b, s:o}", "ended_at_ms", (json_int_t)replay->ended_at_ms, "reason",
                        replay->reason, "done", replay->done, "message", report_text(replay->message)));
    (void)pthread_mutex_unlock(&replay->lock);
    return state;
}
