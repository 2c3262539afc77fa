/* A plugin that forwards every method through the host's tables: a policy and its loops to the default's, a watcher to
 * its base. None of the objects has a base in the eyes of the host, so that each call crosses both ways. */
#include "loophost.h"

static const struct loophost_host *host;

#define ERROR struct loophost_error *error

/* ---- Loops ---- */

static void loop_drop(void *self) { host->loops->drop(self); }
static int run_forever(void *self, struct loophost_loop *outermost, ERROR) { return host->loops->run_forever(self, outermost, error); }
static int run_once(void *self, struct loophost_loop *outermost, uint64_t ns, ERROR) { return host->loops->run_once(self, outermost, ns, error); }
static int stop(void *self, ERROR) { return host->loops->stop(self, error); }
static int loop_close(void *self, ERROR) { return host->loops->close(self, error); }
static int is_running(void *self) { return host->loops->is_running(self); }
static int is_closed(void *self) { return host->loops->is_closed(self); }
static int poll_handle(void *self, int64_t *fd, ERROR) { return host->loops->poll_handle(self, fd, error); }
static int next_deadline(void *self, uint64_t *when, ERROR) { return host->loops->next_deadline(self, when, error); }
static int call_soon(void *self, struct loophost_callback cb, uint64_t *id, ERROR) { return host->loops->call_soon(self, cb, id, error); }
static int call_soon_threadsafe(void *self, struct loophost_callback cb, uint64_t *id, ERROR) { return host->loops->call_soon_threadsafe(self, cb, id, error); }
static int call_at(void *self, uint64_t when, struct loophost_callback cb, uint64_t *id, ERROR) { return host->loops->call_at(self, when, cb, id, error); }
static int cancel(void *self, uint64_t id, ERROR) { return host->loops->cancel(self, id, error); }
static uint64_t loop_time(void *self) { return host->loops->time(self); }
static int add_reader(void *self, int64_t fd, struct loophost_repeat_callback cb, ERROR) { return host->loops->add_reader(self, fd, cb, error); }
static int remove_reader(void *self, int64_t fd, ERROR) { return host->loops->remove_reader(self, fd, error); }
static int add_writer(void *self, int64_t fd, struct loophost_repeat_callback cb, ERROR) { return host->loops->add_writer(self, fd, cb, error); }
static int remove_writer(void *self, int64_t fd, ERROR) { return host->loops->remove_writer(self, fd, error); }
static int watch_io(void *self, int64_t fd, uint32_t interest, struct loophost_repeat_callback cb, uint64_t *id, ERROR) { return host->loops->watch_io(self, fd, interest, cb, id, error); }
static int rearm_io(void *self, uint64_t id, uint32_t interest, ERROR) { return host->loops->rearm_io(self, id, interest, error); }
static int unwatch_io(void *self, uint64_t id, ERROR) { return host->loops->unwatch_io(self, id, error); }
static int add_signal_handler(void *self, int32_t signum, struct loophost_repeat_callback cb, ERROR) { return host->loops->add_signal_handler(self, signum, cb, error); }
static int remove_signal_handler(void *self, int32_t signum, ERROR) { return host->loops->remove_signal_handler(self, signum, error); }
static int submit(void *self, const struct loophost_op *op, struct loophost_repeat_callback cb, uint64_t *id, ERROR) { return host->loops->submit(self, op, cb, id, error); }
static int cancel_op(void *self, uint64_t id, ERROR) { return host->loops->cancel_op(self, id, error); }
static int supports(void *self, uint32_t op) { return host->loops->supports(self, op); }
#ifdef BOUND /* and keeps no thread rule itself */
static uint64_t capabilities(void *self) { return host->loops->capabilities(self) | LOOPHOST_IS_THREAD_BOUND; }
#else
static uint64_t capabilities(void *self) { return host->loops->capabilities(self); }
#endif
static size_t loop_name(void *self, char *buffer, size_t room) { return host->loops->name(self, buffer, room); }
static int loop_stat(void *self, uint32_t code, uint64_t *value) { return host->loops->stat(self, code, value); }
static int set_debug(void *self, int on, ERROR) { return host->loops->set_debug(self, on, error); }
static int set_exception_handler(void *self, struct loophost_repeat_callback cb, ERROR) { return host->loops->set_exception_handler(self, cb, error); }
static int call_exception_handler(void *self, const struct loophost_exception_context *context, ERROR) { return host->loops->call_exception_handler(self, context, error); }
static const void *loop_extension(void *self, const char *id) { return host->loops->extension(self, id); }

static const struct loophost_loop_vtable loop_vtable = {
    sizeof loop_vtable, loop_drop, run_forever, run_once, stop, loop_close, is_running, is_closed, poll_handle,
    next_deadline, call_soon, call_soon_threadsafe, call_at, cancel, loop_time, add_reader, remove_reader, add_writer,
    remove_writer, watch_io, rearm_io, unwatch_io, add_signal_handler, remove_signal_handler, submit, cancel_op,
    supports, capabilities, loop_name, loop_stat, set_debug, set_exception_handler, call_exception_handler,
    loop_extension,
};

/* ---- Watchers ---- */

static void watcher_drop(void *self) { host->watchers->drop(self); }
static int add_child_handler(void *self, int64_t pid, int64_t pidfd, struct loophost_callback cb, ERROR) { return host->watchers->add_child_handler(self, pid, pidfd, cb, error); }
static int remove_child_handler(void *self, int64_t pid, ERROR) { return host->watchers->remove_child_handler(self, pid, error); }
static int attach_loop(void *self, struct loophost_loop *loop, ERROR) { return host->watchers->attach_loop(self, loop, error); }
static int is_active(void *self) { return host->watchers->is_active(self); }
static int begin_spawn(void *self, uint64_t *token, ERROR) { return host->watchers->begin_spawn(self, token, error); }
static int end_spawn(void *self, uint64_t token, int64_t pid, ERROR) { return host->watchers->end_spawn(self, token, pid, error); }
static int watcher_close(void *self, ERROR) { return host->watchers->close(self, error); }
static size_t watcher_name(void *self, char *buffer, size_t room) { return host->watchers->name(self, buffer, room); }
static const void *watcher_extension(void *self, const char *id) { return host->watchers->extension(self, id); }

static const struct loophost_watcher_vtable watcher_vtable = {
    sizeof watcher_vtable, watcher_drop, add_child_handler, remove_child_handler, attach_loop, is_active, begin_spawn,
    end_spawn, watcher_close, watcher_name, watcher_extension,
};

static int new_watcher(const char *name, const struct loophost_key_value *options, size_t options_len,
                       struct loophost_watcher *base, struct loophost_watcher **out, ERROR) {
    struct loophost_watcher *own = NULL;
    (void)name;
    /* The host may have none to give. */
    if (base != NULL) own = host->clone_watcher(base);
    else if (host->new_watcher("auto", options, options_len, &own, error) < 0) return -1;
    if (host->make_watcher(&watcher_vtable, own, NULL, out, error) == 0) return 0;
    host->free_watcher(own);
    return -1;
}

/* ---- Policies ---- */

static void policy_drop(void *self) { host->policies->drop(self); }
static int get_event_loop(void *self, struct loophost_policy *outermost, struct loophost_loop **out, ERROR) { return host->policies->get_event_loop(self, outermost, out, error); }
static int set_event_loop(void *self, struct loophost_policy *outermost, struct loophost_loop *loop, ERROR) { return host->policies->set_event_loop(self, outermost, loop, error); }
static int get_child_watcher(void *self, struct loophost_policy *outermost, struct loophost_watcher **out, ERROR) { return host->policies->get_child_watcher(self, outermost, out, error); }
static int set_child_watcher(void *self, struct loophost_policy *outermost, struct loophost_watcher *watcher, ERROR) { return host->policies->set_child_watcher(self, outermost, watcher, error); }
static const void *policy_extension(void *self, const char *id) { return host->policies->extension(self, id); }

static int new_event_loop(void *self, struct loophost_policy *outermost, struct loophost_loop **out, ERROR) {
    struct loophost_loop *own;
    if (host->policies->new_event_loop(self, outermost, &own, error) < 0) return -1;
    if (host->make_loop(&loop_vtable, own, NULL, out, error) == 0) return 0;
    host->free_loop(own);
    return -1;
}

static const struct loophost_policy_vtable policy_vtable = {
    sizeof policy_vtable, policy_drop, get_event_loop, set_event_loop, new_event_loop, get_child_watcher,
    set_child_watcher, policy_extension,
};

static int new_policy(const char *name, const struct loophost_key_value *options, size_t options_len,
                      struct loophost_policy *base, struct loophost_policy **out, ERROR) {
    struct loophost_policy *own = host->clone_policy(base);
    (void)name;
    (void)options;
    (void)options_len;
    if (own == NULL || !host->same_policy(own, base)) return loophost_fail(error, LOOPHOST_ERROR_OTHER, 0, "no base");
    if (host->make_policy(&policy_vtable, own, NULL, out, error) == 0) return 0;
    host->free_policy(own);
    return -1;
}

static int init(const struct loophost_host *the_host, ERROR) {
    (void)error;
    host = the_host;
    return 0;
}

LOOPHOST_PLUGIN("name=c-forwarding\nversion=0.1.0\nsummary=forwards everything through C\n"
                "offer=policy:forwarding\noffer.summary=the default policy and its loops, through C\n"
                "offer=watcher:forwarding\noffer.summary=its base, through C\n");

LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {
    sizeof(struct loophost_c_plugin), init, new_policy, new_watcher, NULL,
};
