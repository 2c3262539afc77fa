/* Policies and watchers that break the rules of loophost.h, each by its name. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "loophost.h"

static const struct loophost_host *host;

#define ERROR struct loophost_error *error
#define IS(what) (strcmp(name, what) == 0)

/* ---- Loops: they have the default's as their base, and override a method or two ---- */

/* A callback that is called twice, and then dropped, by the place where it was. */
static int twice(void *data, const struct loophost_event *event, ERROR) {
    struct loophost_callback *callback = data;
    if (host->call(callback, event, error) < 0) return -1;
    int result = host->call(callback, event, error);
    host->drop_callback(callback);
    host->drop_callback(callback);
    return result;
}

struct elsewhere {
    struct loophost_callback *callback;
    const struct loophost_event *event;
    struct loophost_error *error;
    int result;
};

static void *call_elsewhere(void *data) {
    struct elsewhere *it = data;
    it->result = host->call(it->callback, it->event, it->error);
    return NULL;
}

/* A callback that is called on another thread. */
static int elsewhere(void *data, const struct loophost_event *event, ERROR) {
    struct elsewhere it = {data, event, error, 0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, call_elsewhere, &it) != 0) return -1;
    pthread_join(thread, NULL);
    return it.result;
}

/* A callback that is told of a child, and of an error, without what belongs to that. */
static int told_nothing(void *data, const struct loophost_event *event, ERROR) {
    struct loophost_event child = {LOOPHOST_EVENT_CHILD, 0, 0, 1, NULL};
    struct loophost_event exception = {LOOPHOST_EVENT_EXCEPTION, 0, 0, 0, NULL};
    (void)event;
    if (host->call(data, NULL, NULL) == 0 || host->call(data, &exception, NULL) == 0) return 0;
    return host->call(data, &child, error);
}

static void drop_place(void *data) {
    host->drop_callback(data);
    free(data);
}

static loophost_call_fn wrapper; /* of the loop that is under test */

static int wrapped_call_soon(void *self, struct loophost_callback callback, uint64_t *id, ERROR) {
    struct loophost_callback *place = malloc(sizeof *place);
    if (place == NULL) abort();
    *place = callback;
    return host->loops->call_soon(self, host->make_callback(wrapper, drop_place, place), id, error);
}

static int call_soon_without(void *self, struct loophost_callback callback, uint64_t *id, ERROR) {
    struct loophost_callback none = {{0}};
    host->drop_callback(&callback);
    return host->loops->call_soon(self, none, id, error);
}

static int fails_silently(void *self, ERROR) {
    (void)self;
    (void)error;
    return -1;
}

/* A message without an end. */
static int fails_endlessly(void *self, ERROR) {
    (void)self;
    error->code = LOOPHOST_ERROR_OS;
    error->os_errno = 5;
    memset(error->message, 'x', sizeof error->message);
    return -7;
}

static int lies_about_stat(void *self, uint32_t code, uint64_t *value) {
    (void)self;
    (void)code;
    (void)value;
    return -1;
}

static size_t nameless(void *self, char *buffer, size_t room) {
    (void)self;
    memset(buffer, '\xff', room);
    return SIZE_MAX;
}

/* A loop that has nothing any more when it is closed: each of these would abort. */
static struct loophost_loop *unless_freed(void *self) {
    struct loophost_loop **kept = self;
    if (*kept == NULL) abort();
    return *kept;
}

static int free_in_close(void *self, ERROR) {
    struct loophost_loop *base = unless_freed(self);
    int result = host->loops->close(base, error);
    host->free_loop(base);
    *(struct loophost_loop **)self = NULL;
    return result;
}

static int stop_unless_freed(void *self, ERROR) { return host->loops->stop(unless_freed(self), error); }
static int is_running_unless_freed(void *self) { return host->loops->is_running(unless_freed(self)); }
static int is_closed_unless_freed(void *self) { return host->loops->is_closed(unless_freed(self)); }
static uint64_t time_unless_freed(void *self) { return host->loops->time(unless_freed(self)); }
static int supports_unless_freed(void *self, uint32_t op) { return host->loops->supports(unless_freed(self), op); }
static uint64_t capabilities_unless_freed(void *self) { return host->loops->capabilities(unless_freed(self)); }

static size_t name_unless_freed(void *self, char *buffer, size_t room) {
    return unless_freed(self) != NULL ? (size_t)snprintf(buffer, room, "frees in close") : 0;
}

static int stat_unless_freed(void *self, uint32_t code, uint64_t *value) {
    return host->loops->stat(unless_freed(self), code, value);
}

static const void *extension_unless_freed(void *self, const char *id) {
    return host->loops->extension(unless_freed(self), id);
}

static void drop_base(void *self) { host->free_loop(self); }

/* ---- Policies ---- */

static const char *offer; /* the one that was made last */

static int new_event_loop(void *self, struct loophost_policy *outermost, struct loophost_loop **out, ERROR) {
    struct loophost_loop_vtable table = {.struct_size = sizeof table, .drop = drop_base};
    struct loophost_loop *base;
    const char *name = offer;
    (void)self;
    (void)outermost;
    if (IS("null-loop")) return 0;
    if (IS("lacks-call-at")) {
        if (host->new_loop("selector", NULL, 0, &base, error) < 0) return -1;
        table = *host->loops;
        table.call_at = NULL;
        int result = host->make_loop(&table, base, NULL, out, error);
        if (result < 0) host->free_loop(base);
        return result;
    }
    if (IS("no-such-loop")) return host->new_loop("caf\xe9", NULL, 0, out, error);
    if (IS("no-name")) return host->new_loop(NULL, NULL, 0, out, error);
    if (host->new_loop("selector", NULL, 0, &base, error) < 0) return -1;
    if (IS("frees-in-close")) {
        struct loophost_loop **kept = malloc(sizeof *kept);
        if (kept == NULL) abort();
        *kept = host->clone_loop(base);
        table.drop = free, table.close = free_in_close, table.stop = stop_unless_freed;
        table.is_running = is_running_unless_freed, table.is_closed = is_closed_unless_freed;
        table.time = time_unless_freed, table.supports = supports_unless_freed;
        table.capabilities = capabilities_unless_freed, table.name = name_unless_freed;
        table.stat = stat_unless_freed, table.extension = extension_unless_freed;
        int result = host->make_loop(&table, kept, base, out, error);
        host->free_loop(base);
        return result;
    }
    wrapper = IS("calls-twice") ? twice : IS("calls-elsewhere") ? elsewhere : told_nothing;
    if (IS("calls-none")) table.call_soon = call_soon_without;
    else if (IS("silent-stop")) table.stop = fails_silently;
    else if (IS("endless-stop")) table.stop = fails_endlessly;
    else if (IS("odd")) table.stat = lies_about_stat, table.name = nameless;
    else if (!IS("gives-nothing")) table.call_soon = wrapped_call_soon;
    /* `self` and the base are the same handle: the object keeps both, and drops the first. */
    return host->make_loop(&table, base, base, out, error);
}

static int gives_nothing(void *self, struct loophost_policy *outermost, struct loophost_loop **out, ERROR) {
    (void)self;
    (void)outermost;
    (void)out;
    (void)error;
    return 1;
}

static int new_policy(const char *name, const struct loophost_key_value *options, size_t options_len,
                      struct loophost_policy *base, struct loophost_policy **out, ERROR) {
    struct loophost_policy_vtable table = {.struct_size = sizeof table, .new_event_loop = new_event_loop};
    static char kept[64];
    (void)options;
    (void)options_len;
    strncpy(kept, name, sizeof kept - 1);
    offer = kept;
    if (IS("null-policy")) return 0;
    if (IS("silent")) return -1;
    if (IS("no-table")) return host->make_policy(NULL, NULL, base, out, error);
    if (IS("no-place")) return host->make_policy(&table, NULL, base, NULL, error);
    if (IS("small-table")) table.struct_size = 24;
    if (IS("odd-table")) table.struct_size = sizeof table + 3;
    if (IS("huge-table")) table.struct_size = UINT32_MAX - 7;
    if (IS("no-base")) base = NULL;
    if (IS("gives-nothing")) table.get_event_loop = gives_nothing;
    return host->make_policy(&table, NULL, base, out, error);
}

/* ---- Watchers ---- */

/* Tells of an exit without the exit. */
static int add_child_handler(void *self, int64_t pid, int64_t pidfd, struct loophost_callback callback, ERROR) {
    struct loophost_event event = {LOOPHOST_EVENT_CHILD, 0, 0, (uint64_t)pid, NULL};
    (void)self;
    (void)pidfd;
    return host->call(&callback, &event, error);
}

/* Asks for a status without saying how large the place for it is. */
static int add_and_reap(void *self, int64_t pid, int64_t pidfd, struct loophost_callback callback, ERROR) {
    struct loophost_child_exit status = {.size = sizeof status};
    (void)self;
    (void)pidfd;
    host->drop_callback(&callback);
    if (host->reap(1, &status, error) != LOOPHOST_REAP_NOT_OURS || status.size != sizeof status)
        return loophost_fail(error, LOOPHOST_ERROR_OTHER, 0, "process 1 is no child of ours");
    status.size = 0;
    return host->reap(pid, &status, error);
}

static void drop_watcher(void *self) { host->free_watcher(self); }

static int new_watcher(const char *name, const struct loophost_key_value *options, size_t options_len,
                       struct loophost_watcher *base, struct loophost_watcher **out, ERROR) {
    struct loophost_watcher_vtable table = {.struct_size = sizeof table, .add_child_handler = add_child_handler};
    struct loophost_watcher *own;
    (void)base;
    if (IS("null-watcher")) return 0;
    if (IS("lacks-add")) {
        table = (struct loophost_watcher_vtable){.struct_size = sizeof table};
        return host->make_watcher(&table, NULL, NULL, out, error);
    }
    if (host->new_watcher("threaded", options, options_len, &own, error) < 0) return -1;
    table.drop = drop_watcher;
    if (IS("reaps-blindly")) table.add_child_handler = add_and_reap;
    return host->make_watcher(&table, own, own, out, error);
}

static int init(const struct loophost_host *the_host, ERROR) {
    (void)error;
    host = the_host;
    return 0;
}

#define OFFER(kind, name) "offer=" kind ":" name "\noffer.summary=bad\n"

LOOPHOST_PLUGIN("name=c-misbehaving\nversion=0.1.0\nsummary=breaks the rules\n"
    OFFER("policy", "null-policy")
    OFFER("policy", "silent")
    OFFER("policy", "no-table")
    OFFER("policy", "no-place")
    OFFER("policy", "small-table")
    OFFER("policy", "odd-table")
    OFFER("policy", "huge-table")
    OFFER("policy", "no-base")
    OFFER("policy", "gives-nothing")
    OFFER("policy", "null-loop")
    OFFER("policy", "lacks-call-at")
    OFFER("policy", "no-such-loop")
    OFFER("policy", "no-name")
    OFFER("policy", "calls-twice")
    OFFER("policy", "calls-elsewhere")
    OFFER("policy", "tells-nothing")
    OFFER("policy", "calls-none")
    OFFER("policy", "silent-stop")
    OFFER("policy", "endless-stop")
    OFFER("policy", "odd")
    OFFER("policy", "frees-in-close")
    OFFER("watcher", "null-watcher")
    OFFER("watcher", "lacks-add")
    OFFER("watcher", "tells-nothing")
    OFFER("watcher", "reaps-blindly"));

LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {
    sizeof(struct loophost_c_plugin), init, new_policy, new_watcher, NULL,
};
