/* A plugin in C for hosts of two minors: it uses what the later one brings where that is there. See tests/tests/minors. */
#include "loophost.h"

static const struct loophost_host *host;

#define ERROR struct loophost_error *error

static void drop_loop(void *self) { host->free_loop(self); }

static int pending(void *self, uint64_t *count, ERROR) {
    (void)self;
    (void)error;
    *count = 31;
    return 0;
}

static void drop_policy(void *self) { host->free_policy(self); }

static int new_event_loop(void *self, struct loophost_policy *outermost, struct loophost_loop **out, ERROR) {
    static const struct loophost_loop_vtable table = {
        .struct_size = sizeof table, .drop = drop_loop, .pending = pending};
    struct loophost_loop *base;
    if (host->policies->new_event_loop(self, outermost, &base, error) < 0) return -1;
    if (host->make_loop(&table, base, base, out, error) == 0) return 0;
    host->free_loop(base);
    return -1;
}

static int new_policy(const char *name, const struct loophost_key_value *options, size_t options_len,
                      struct loophost_policy *base, struct loophost_policy **out, ERROR) {
    static const struct loophost_policy_vtable table = {
        .struct_size = sizeof table, .drop = drop_policy, .new_event_loop = new_event_loop};
    struct loophost_policy *own = host->clone_policy(base);
    (void)name;
    (void)options;
    (void)options_len;
    if (host->make_policy(&table, own, base, out, error) == 0) return 0;
    host->free_policy(own);
    return -1;
}

static const char *yes_or_no(int answer) { return answer ? "yes" : "no"; }

static int init(const struct loophost_host *the_host, ERROR) {
    char message[64];
    struct loophost_log_record record = {
        .struct_size = sizeof record, .level = 3, .target = "later-in-c", .message = message};
    (void)error;
    host = the_host;
    snprintf(message, sizeof message, "the host has uptime: %s, pending: %s", yes_or_no(LOOPHOST_HAS(host, uptime)),
             yes_or_no(LOOPHOST_HAS(host->loops, pending)));
    record.thread = 29;
    host->log(&record);
    return 0;
}

static uint64_t health(void) { return 34; }

LOOPHOST_PLUGIN_NEEDS(LOOPHOST_ABI_MINOR - 1,
                      "name=later-in-c\nversion=0.1.0\nsummary=uses what is there\n"
                      "offer=policy:later\noffer.summary=the default policy, with loops that have the news\n");

LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {
    .struct_size = sizeof(struct loophost_c_plugin), .init = init, .new_policy = new_policy, .health = health,
};
