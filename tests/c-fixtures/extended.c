/* A plugin whose policy, loops, watcher and file have the extension fixture.kind/1, each of its own kind; all else is their
 * base's. What tests/fixtures/extended is in Rust. */
#include "loophost.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ERROR struct loophost_error *error

static const struct loophost_host *host;

/* The table of the extension. */
struct kind {
    struct loophost_extension head;
    /* What has it: 1 a policy, 2 a loop, 3 a watcher, 4 the plugin. Any thread. */
    uint32_t (*kind)(const void *object);
    /* How often this very object was asked for that. Any thread. */
    uint64_t (*asked)(const void *object);
};

/* What its functions are about. */
struct state {
    uint32_t kind;
    atomic_uint_fast64_t asked;
};

/* An object with the extension, and its base: a policy, a loop or a watcher. */
struct extended {
    struct kind table;
    struct state state;
    void *base;
};

static struct state of_plugin = {4, 0};

static struct state *state_of(const void *object) { return object == NULL ? &of_plugin : (struct state *)object; }

static uint32_t kind(const void *object) {
    struct state *state = state_of(object);
    atomic_fetch_add(&state->asked, 1);
    return state->kind;
}

static uint64_t asked(const void *object) { return atomic_load(&state_of(object)->asked); }

static const struct kind table_of_plugin = {{sizeof(struct kind), 0, NULL}, kind, asked};

static int is_known(const char *id) { return strcmp(id, "fixture.kind/1") == 0; }

/* Takes the handle `base`. */
static struct extended *extend(void *base, uint32_t of_kind) {
    struct extended *self = malloc(sizeof *self);
    if (self == NULL) abort();
    self->table = (struct kind){{sizeof self->table, 0, &self->state}, kind, asked};
    self->state.kind = of_kind;
    atomic_init(&self->state.asked, 0);
    self->base = base;
    return self;
}

/* ---- Loops ---- */

static void loop_drop(void *self) {
    host->free_loop(((struct extended *)self)->base);
    free(self);
}

static const void *loop_extension(void *self, const char *id) {
    struct extended *it = self;
    return is_known(id) ? &it->table : host->loops->extension(it->base, id);
}

static const struct loophost_loop_vtable loop_vtable = {
    .struct_size = sizeof loop_vtable, .drop = loop_drop, .extension = loop_extension};

/* ---- Watchers ---- */

static void watcher_drop(void *self) {
    host->free_watcher(((struct extended *)self)->base);
    free(self);
}

static const void *watcher_extension(void *self, const char *id) {
    struct extended *it = self;
    return is_known(id) ? &it->table : host->watchers->extension(it->base, id);
}

static const struct loophost_watcher_vtable watcher_vtable = {
    .struct_size = sizeof watcher_vtable, .drop = watcher_drop, .extension = watcher_extension};

static int new_watcher(const char *name, const struct loophost_key_value *options, size_t options_len,
                       struct loophost_watcher *base, struct loophost_watcher **out, ERROR) {
    struct extended *self;
    (void)name, (void)options, (void)options_len;
    if (base == NULL) return loophost_fail(error, LOOPHOST_ERROR_NOT_SUPPORTED, 0, "it needs a base");
    self = extend(host->clone_watcher(base), 3);
    if (host->make_watcher(&watcher_vtable, self, base, out, error) == 0) return 0;
    watcher_drop(self);
    return -1;
}

/* ---- Policies ---- */

static void policy_drop(void *self) {
    host->free_policy(((struct extended *)self)->base);
    free(self);
}

static int new_event_loop(void *self, struct loophost_policy *outermost, struct loophost_loop **out, ERROR) {
    struct loophost_loop *base;
    struct extended *extended;
    if (host->policies->new_event_loop(((struct extended *)self)->base, outermost, &base, error) < 0) return -1;
    extended = extend(base, 2);
    if (host->make_loop(&loop_vtable, extended, base, out, error) == 0) return 0;
    loop_drop(extended);
    return -1;
}

static const void *policy_extension(void *self, const char *id) {
    struct extended *it = self;
    return is_known(id) ? &it->table : host->policies->extension(it->base, id);
}

static const struct loophost_policy_vtable policy_vtable = {
    .struct_size = sizeof policy_vtable,
    .drop = policy_drop,
    .new_event_loop = new_event_loop,
    .extension = policy_extension};

static int new_policy(const char *name, const struct loophost_key_value *options, size_t options_len,
                      struct loophost_policy *base, struct loophost_policy **out, ERROR) {
    struct extended *self;
    (void)name, (void)options, (void)options_len;
    if (base == NULL) return loophost_fail(error, LOOPHOST_ERROR_NOT_SUPPORTED, 0, "it needs a base");
    self = extend(host->clone_policy(base), 1);
    if (host->make_policy(&policy_vtable, self, base, out, error) == 0) return 0;
    policy_drop(self);
    return -1;
}

/* ---- The plugin ---- */

static int init(const struct loophost_host *the_host, ERROR) {
    (void)error;
    host = the_host;
    return 0;
}

static const void *extension(const char *id) { return is_known(id) ? &table_of_plugin : NULL; }

LOOPHOST_PLUGIN("name=c-extended\nversion=0.1.0\nsummary=an extension at each of its objects, in C\n"
                "offer=policy:extended\noffer.summary=its base, with an extension\n"
                "offer=watcher:extended\noffer.summary=its base, with an extension\n");

LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {
    sizeof(struct loophost_c_plugin), init, new_policy, new_watcher, extension,
};
