/* A policy in C: the default one, with event loops on select(2).
 *
 *     cc -shared -fPIC -O2 -I plugin-api/include -o libloophost_c_policy.so examples/c-policy/c_policy.c
 *     loophost run --policy ./libloophost_c_policy.so -- redis-server
 *
 * select(2) knows descriptors below FD_SETSIZE (1024) only: for more, there are better loops. The host keeps the thread
 * rule, so only what says [any-thread] in loophost.h needs the lock here. Nothing foreign (a callback, the drop of one, the
 * host) is called under the lock or in the middle of a change: what is to be dropped is taken out first.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loophost.h"

#define LAST_SIGNAL 64
#define SLOW_CALLBACK_NS UINT64_C(100000000)
#define KNOWN_INTEREST (uint32_t)(LOOPHOST_READ | LOOPHOST_WRITE)
#define LONGEST_WAIT_NS (UINT64_C(86400) * 1000000000)

static const struct loophost_host *host;

/* ---- What a loop consists of ---- */

/* Something to run, or a timer to come. */
struct entry {
    enum { CANCELLED, SOON, TIMER, READER, WRITER, STREAM, SIGNAL } kind;
    uint64_t id;                       /* of READER, WRITER, STREAM: that of the watch */
    uint64_t when_ns;                  /* TIMER */
    struct loophost_callback callback; /* SOON, TIMER */
    int fd;                            /* READER, WRITER, STREAM */
    struct loophost_event event;       /* SIGNAL */
};

struct entries {
    struct entry *items;
    size_t first, end, room;
};

/* The place of a callback that is called often. While it runs it is away, so that what replaces it may be put here. */
struct held {
    struct loophost_repeat_callback callback;
    uint64_t number; /* of the one that belongs here; 0: none does */
};

/* A descriptor. */
struct watch {
    uint64_t id; /* 0: it is not watched */
    int is_stream;
    int is_gone; /* it was closed meanwhile */
    struct held reader, writer; /* a stream has only the first */
    uint32_t armed, queued;     /* STREAM: what is waited for, and what the entry in the queue will say */
};

struct signal_handler {
    struct held callback;
    uint64_t subscription;
};

struct select_loop {
    /* Under the lock: whatever any thread may touch. */
    pthread_mutex_t lock;
    struct entries ready;
    int is_closed, is_stopping, is_waiting, is_woken;
    /* The loop's thread. */
    int pipe[2]; /* a byte in it ends the wait */
    int last_fd;
    struct entries timers;
    struct watch watches[FD_SETSIZE];
    struct signal_handler signals[LAST_SIGNAL + 1];
    struct held exception_handler;
    atomic_int is_debug;
    atomic_uint_fast64_t last_id, turns, callbacks, wakeups;
};

static uint64_t new_id(struct select_loop *loop) { return ++loop->last_id; }

static uint64_t now(void *self) {
    struct timespec time;
    (void)self;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* ---- Entries ---- */

static size_t count(const struct entries *entries) { return entries->end - entries->first; }

/* Makes room for one more; 0 if there is no memory. */
static int reserve(struct entries *entries) {
    if (entries->end < entries->room) return 1;
    if (entries->first > entries->room / 2) {
        memmove(entries->items, entries->items + entries->first, count(entries) * sizeof(struct entry));
        entries->end -= entries->first;
        entries->first = 0;
        return 1;
    }
    size_t room = entries->room ? entries->room * 2 : 16;
    struct entry *items = realloc(entries->items, room * sizeof(struct entry));
    if (items == NULL) return 0;
    entries->items = items;
    entries->room = room;
    return 1;
}

static int push(struct entries *entries, struct entry entry) {
    if (!reserve(entries)) return 0;
    entries->items[entries->end++] = entry;
    return 1;
}

/* The timers are sorted; most come late. */
static int push_timer(struct entries *timers, struct entry timer) {
    if (!push(timers, timer)) return 0;
    size_t at = timers->end - 1;
    for (; at > timers->first && timers->items[at - 1].when_ns > timer.when_ns; at--)
        timers->items[at] = timers->items[at - 1];
    timers->items[at] = timer;
    return 1;
}

/* The call or timer of an id, or NULL. */
static struct entry *find(struct entries *entries, uint64_t id) {
    for (size_t i = entries->first; i < entries->end; i++) {
        struct entry *entry = &entries->items[i];
        if (entry->id == id && (entry->kind == SOON || entry->kind == TIMER)) return entry;
    }
    return NULL;
}

static struct entry pop(struct entries *entries) {
    struct entry entry = entries->items[entries->first++];
    if (count(entries) == 0) entries->first = entries->end = 0;
    return entry;
}

static void drop_entries(struct entries *entries) {
    for (size_t i = entries->first; i < entries->end; i++) {
        struct entry *entry = &entries->items[i];
        if (entry->kind == SOON || entry->kind == TIMER) host->drop_callback(&entry->callback);
    }
    free(entries->items);
}

/* ---- Held callbacks ---- */

/* Both return what the caller is to drop. */
static struct loophost_repeat_callback hold(struct select_loop *loop, struct held *held,
                                            struct loophost_repeat_callback callback) {
    struct loophost_repeat_callback replaced = held->callback;
    held->callback = callback;
    held->number = new_id(loop);
    return replaced;
}

static struct loophost_repeat_callback clear(struct held *held) {
    struct loophost_repeat_callback removed = held->callback;
    memset(held, 0, sizeof *held);
    return removed;
}

/* ---- Calling ---- */

static void log_line(uint32_t level, uint32_t line, const char *message, const struct loophost_key_value *fields,
                     size_t fields_len) {
    struct loophost_log_record record = {sizeof record, level, line, "c_policy", __FILE__, message, fields, fields_len};
    host->log(&record);
}

static void log_exception(const struct loophost_exception_context *context) {
    char message[1024];
    const char *reason = context->error ? context->error->message : "";
    snprintf(message, sizeof message, "%s%s%s", context->message, *reason ? ": " : "", reason);
    log_line(1, __LINE__, message, context->details, context->details_len);
}

/* Calls what is held, which is away meanwhile; afterwards it is back, unless it was replaced or removed. */
static int call_away(struct held *held, const struct loophost_event *event, struct loophost_error *error) {
    struct held away = *held;
    memset(&held->callback, 0, sizeof held->callback);
    int result = host->call_repeat(&away.callback, event, error);
    if (held->number == away.number) held->callback = away.callback;
    else host->drop_repeat_callback(&away.callback);
    return result;
}

/* Tells the exception handler, or the log. */
static void report(struct select_loop *loop, const struct loophost_exception_context *context) {
    struct loophost_event event = {LOOPHOST_EVENT_EXCEPTION, 0, 0, 0, context};
    struct loophost_exception_context second = *context;
    struct loophost_error error;
    if (loophost_is_none(&loop->exception_handler.callback)) { /* or it is running */
        log_exception(context);
    } else if (call_away(&loop->exception_handler, &event, &error) < 0) {
        second.message = "exception in the exception handler";
        second.error = &error;
        log_exception(context);
        log_exception(&second);
    }
}

/* What comes after each call: its error, and in debug mode the time that it took. */
static void called(struct select_loop *loop, const uintptr_t words[4], uint64_t start, int result,
                   const struct loophost_error *error) {
    uint64_t took = start ? now(loop) - start : 0;
    loop->callbacks++;
    if (result >= 0 && took <= SLOW_CALLBACK_NS) return;
    char name[256], message[512];
    host->callback_name(words, name, sizeof name);
    struct loophost_key_value details[] = {{"callback", name}, {"loop", "SelectEventLoop"}};
    struct loophost_exception_context context = {sizeof context, "exception in a callback", error, details, 2};
    if (result < 0) report(loop, &context);
    if (took <= SLOW_CALLBACK_NS) return;
    snprintf(message, sizeof message, "executing %s took %.3f seconds", name, (double)took / 1e9);
    log_line(2, __LINE__, message, details, 2);
}

static void call_once(struct select_loop *loop, struct loophost_callback callback, uint32_t kind) {
    struct loophost_event event = {kind, 0, 0, 0, NULL};
    struct loophost_callback copy = callback;
    struct loophost_error error;
    uint64_t start = loop->is_debug ? now(loop) : 0;
    int result = host->call(&callback, &event, &error);
    called(loop, copy.words, start, result, &error);
}

static void call_held(struct select_loop *loop, struct held *held, const struct loophost_event *event) {
    struct loophost_repeat_callback copy = held->callback;
    struct loophost_error error;
    if (loophost_is_none(&copy)) return;
    uint64_t start = loop->is_debug ? now(loop) : 0;
    int result = call_away(held, event, &error);
    called(loop, copy.words, start, result, &error);
}

/* ---- Turns ---- */

/* Under the lock: ends the wait, with one byte for however many reasons. */
static void wake(struct select_loop *loop) {
    if (!loop->is_waiting || loop->is_woken) return;
    loop->is_woken = 1;
    loop->wakeups++;
    while (write(loop->pipe[1], "", 1) < 0 && errno == EINTR) {}
}

static int fill_sets(struct select_loop *loop, fd_set *readable, fd_set *writable) {
    int last = loop->pipe[0];
    FD_ZERO(readable);
    FD_ZERO(writable);
    FD_SET(loop->pipe[0], readable);
    for (int fd = 0; fd <= loop->last_fd; fd++) {
        struct watch *watch = &loop->watches[fd];
        if (watch->id == 0 || watch->is_gone) continue;
        uint32_t wanted = watch->armed;
        if (!watch->is_stream)
            wanted = (watch->reader.number ? LOOPHOST_READ : 0) | (watch->writer.number ? LOOPHOST_WRITE : 0);
        if (wanted & LOOPHOST_READ) FD_SET(fd, readable);
        if (wanted & LOOPHOST_WRITE) FD_SET(fd, writable);
        if (wanted && fd > last) last = fd;
    }
    return last + 1;
}

/* Descriptors that were closed while they were watched are silent from now on; whether there are any. */
static int silence_closed(struct select_loop *loop) {
    int found = 0;
    for (int fd = 0; fd <= loop->last_fd; fd++) {
        struct watch *watch = &loop->watches[fd];
        if (watch->id != 0 && !watch->is_gone && fcntl(fd, F_GETFD) < 0) found = watch->is_gone = 1;
    }
    return found;
}

/* Waits for at most `timeout_ns`, or a day; how many descriptors are ready, or -1. */
static int wait_for_events(struct select_loop *loop, uint64_t timeout_ns, fd_set *readable, fd_set *writable) {
    uint64_t deadline = now(loop) + (timeout_ns < LONGEST_WAIT_NS ? timeout_ns : LONGEST_WAIT_NS);
    for (;;) {
        int end = fill_sets(loop, readable, writable);
        uint64_t time = now(loop), left = deadline > time ? deadline - time : 0;
        struct timespec timeout = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
        int ready = pselect(end, readable, writable, NULL, &timeout, NULL);
        if (ready >= 0 || (errno != EINTR && !(errno == EBADF && silence_closed(loop)))) return ready;
    }
}

/* Under the lock: queues what is ready. What does not fit into memory is ready in the next turn as well. */
static void queue_ready(struct select_loop *loop, fd_set *readable, fd_set *writable) {
    for (int fd = 0; fd <= loop->last_fd; fd++) {
        struct watch *watch = &loop->watches[fd];
        struct entry entry = {.kind = READER, .id = watch->id, .fd = fd};
        uint32_t bits = (FD_ISSET(fd, readable) ? LOOPHOST_READ : 0) | (FD_ISSET(fd, writable) ? LOOPHOST_WRITE : 0);
        if (watch->id == 0 || bits == 0) continue;
        if (watch->is_stream) {
            entry.kind = STREAM;
            if (watch->queued == 0 && !push(&loop->ready, entry)) continue;
            watch->armed &= ~bits;
            watch->queued |= bits;
            continue;
        }
        if (bits & LOOPHOST_READ) push(&loop->ready, entry);
        entry.kind = WRITER;
        if (bits & LOOPHOST_WRITE) push(&loop->ready, entry);
    }
}

static uint64_t next_timer(const struct select_loop *loop) {
    return count(&loop->timers) ? loop->timers.items[loop->timers.first].when_ns : UINT64_MAX;
}

static void queue_due(struct select_loop *loop) {
    uint64_t time = count(&loop->timers) ? now(loop) : 0;
    while (count(&loop->timers) && next_timer(loop) <= time && reserve(&loop->ready))
        push(&loop->ready, pop(&loop->timers));
}

static void run_entry(struct select_loop *loop, struct entry *entry) {
    struct watch *watch = &loop->watches[entry->fd];
    struct loophost_event event = {LOOPHOST_EVENT_READY, 0, 0, 0, NULL};
    switch (entry->kind) {
    case CANCELLED:
        return;
    case SOON:
        call_once(loop, entry->callback, LOOPHOST_EVENT_SOON);
        return;
    case TIMER:
        call_once(loop, entry->callback, LOOPHOST_EVENT_TIMER);
        return;
    case SIGNAL:
        call_held(loop, &loop->signals[entry->event.result].callback, &entry->event);
        return;
    case READER:
    case WRITER:
        if (watch->id == entry->id) call_held(loop, entry->kind == READER ? &watch->reader : &watch->writer, &event);
        return;
    case STREAM:
        if (watch->id != entry->id) return;
        event.kind = LOOPHOST_EVENT_IO;
        event.result = watch->queued;
        watch->queued = 0;
        call_held(loop, &watch->reader, &event);
        return;
    }
}

static int turn(struct select_loop *loop, uint64_t limit_ns, struct loophost_error *error) {
    fd_set readable, writable;
    uint64_t timeout = limit_ns, time = now(loop);
    uint64_t until = next_timer(loop) > time ? next_timer(loop) - time : 0;
    if (until < timeout) timeout = until;
    pthread_mutex_lock(&loop->lock);
    if (count(&loop->ready) || loop->is_stopping) timeout = 0;
    loop->is_waiting = timeout != 0;
    pthread_mutex_unlock(&loop->lock);

    int ready = wait_for_events(loop, timeout, &readable, &writable);
    int wait_errno = errno;

    pthread_mutex_lock(&loop->lock);
    loop->is_waiting = 0;
    if (loop->is_woken) {
        char bytes[8];
        while (read(loop->pipe[0], bytes, sizeof bytes) < 0 && errno == EINTR) {}
        loop->is_woken = 0;
    }
    if (ready > 0) queue_ready(loop, &readable, &writable);
    queue_due(loop);
    size_t due = count(&loop->ready);
    pthread_mutex_unlock(&loop->lock);
    if (ready < 0)
        return loophost_fail(error, LOOPHOST_ERROR_OS, wait_errno, "waiting with select(2): %s", strerror(wait_errno));

    loop->turns++;
    for (; due > 0; due--) {
        pthread_mutex_lock(&loop->lock);
        struct entry entry = pop(&loop->ready);
        pthread_mutex_unlock(&loop->lock);
        run_entry(loop, &entry);
    }
    return 0;
}

/* Whether a stop was asked for; the question ends it. */
static int take_stop(struct select_loop *loop) {
    pthread_mutex_lock(&loop->lock);
    int is_stopping = loop->is_stopping;
    loop->is_stopping = 0;
    pthread_mutex_unlock(&loop->lock);
    return is_stopping;
}

static int run_forever(void *self, struct loophost_loop *outermost, struct loophost_error *error) {
    struct select_loop *loop = self;
    uint64_t token;
    if (host->enter_running(outermost, &token, error) < 0) return -1;
    int result;
    do result = turn(loop, UINT64_MAX, error);
    while (result == 0 && !take_stop(loop));
    host->leave_running(token, NULL);
    return result;
}

static int run_once(void *self, struct loophost_loop *outermost, uint64_t timeout_ns, struct loophost_error *error) {
    struct select_loop *loop = self;
    uint64_t token;
    if (host->enter_running(outermost, &token, error) < 0) return -1;
    int result = turn(loop, timeout_ns, error);
    take_stop(loop);
    host->leave_running(token, NULL);
    return result;
}

static int stop(void *self, struct loophost_error *error) {
    struct select_loop *loop = self;
    (void)error;
    pthread_mutex_lock(&loop->lock);
    loop->is_stopping = 1;
    wake(loop);
    pthread_mutex_unlock(&loop->lock);
    return 0;
}

/* ---- Calls and timers ---- */

/* Gives a callback to the queue; from any thread. */
static int call_soon_threadsafe(void *self, struct loophost_callback callback, uint64_t *id,
                                struct loophost_error *error) {
    struct select_loop *loop = self;
    struct entry entry = {.kind = SOON, .id = new_id(loop), .callback = callback};
    pthread_mutex_lock(&loop->lock);
    int is_closed = loop->is_closed;
    int is_taken = !is_closed && push(&loop->ready, entry);
    if (is_taken) wake(loop);
    pthread_mutex_unlock(&loop->lock);
    *id = entry.id;
    if (is_taken) return 0;
    host->drop_callback(&callback);
    if (is_closed) return loophost_fail(error, LOOPHOST_ERROR_LOOP_CLOSED, 0, "the event loop is closed");
    return loophost_fail(error, LOOPHOST_ERROR_OS, ENOMEM, "no memory for a callback");
}

static int call_at(void *self, uint64_t when_ns, struct loophost_callback callback, uint64_t *id,
                   struct loophost_error *error) {
    struct select_loop *loop = self;
    struct entry entry = {.kind = TIMER, .id = new_id(loop), .when_ns = when_ns, .callback = callback};
    if (!push_timer(&loop->timers, entry)) {
        host->drop_callback(&callback);
        return loophost_fail(error, LOOPHOST_ERROR_OS, ENOMEM, "no memory for a timer");
    }
    *id = entry.id;
    return 0;
}

static int cancel(void *self, uint64_t id, struct loophost_error *error) {
    struct select_loop *loop = self;
    struct entries *timers = &loop->timers;
    struct entry cancelled = {.kind = CANCELLED}, *found = find(timers, id);
    (void)error;
    if (found != NULL) {
        cancelled = *found;
        memmove(found, found + 1, (size_t)(timers->items + timers->end - (found + 1)) * sizeof *found);
        timers->end--;
    }
    pthread_mutex_lock(&loop->lock);
    if (found == NULL && (found = find(&loop->ready, id)) != NULL) {
        cancelled = *found;
        found->kind = CANCELLED; /* the rest of this turn is counted */
    }
    pthread_mutex_unlock(&loop->lock);
    if (cancelled.kind == CANCELLED) return 0;
    host->drop_callback(&cancelled.callback);
    return 1;
}

/* ---- Readers, writers, streams ---- */

/* The place of a descriptor that can be watched, or NULL and an error. */
static struct watch *place_for(struct select_loop *loop, int64_t fd, struct loophost_error *error) {
    struct stat status;
    int why = 0;
    if (fd < 0 || fd > INT32_MAX) why = EBADF;
    else if (fstat((int)fd, &status) < 0) why = errno;
    else if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) why = EPERM;
    if (why != 0) {
        loophost_fail(error, LOOPHOST_ERROR_OS, why, "watching descriptor %lld: %s", (long long)fd, strerror(why));
        return NULL;
    }
    if (fd >= FD_SETSIZE) {
        loophost_fail(error, LOOPHOST_ERROR_OS, EMFILE, "select(2) cannot watch descriptor %lld: it takes those below %d",
                      (long long)fd, FD_SETSIZE);
        return NULL;
    }
    if (fd > loop->last_fd) loop->last_fd = (int)fd;
    return &loop->watches[fd];
}

static int fd_busy(int64_t fd, struct loophost_error *error) {
    return loophost_fail(error, LOOPHOST_ERROR_FD_BUSY, 0, "descriptor %lld is watched already: end that first",
                         (long long)fd);
}

static int add(struct select_loop *loop, int64_t fd, int is_writer, struct loophost_repeat_callback callback,
               struct loophost_error *error) {
    struct watch *watch = place_for(loop, fd, error);
    if (watch == NULL || (watch->id != 0 && watch->is_stream)) {
        host->drop_repeat_callback(&callback);
        return watch == NULL ? -1 : fd_busy(fd, error);
    }
    if (watch->id == 0) watch->id = new_id(loop);
    watch->is_gone = 0;
    callback = hold(loop, is_writer ? &watch->writer : &watch->reader, callback);
    host->drop_repeat_callback(&callback);
    return 0;
}

static int remove_one(struct select_loop *loop, int64_t fd, int is_writer) {
    if (fd < 0 || fd >= FD_SETSIZE) return 0;
    struct watch *watch = &loop->watches[fd];
    struct held *held = is_writer ? &watch->writer : &watch->reader;
    if (watch->is_stream || held->number == 0) return 0;
    struct loophost_repeat_callback removed = clear(held);
    if (watch->reader.number == 0 && watch->writer.number == 0) memset(watch, 0, sizeof *watch);
    host->drop_repeat_callback(&removed);
    return 1;
}

static int add_reader(void *self, int64_t fd, struct loophost_repeat_callback callback, struct loophost_error *error) {
    return add(self, fd, 0, callback, error);
}

static int add_writer(void *self, int64_t fd, struct loophost_repeat_callback callback, struct loophost_error *error) {
    return add(self, fd, 1, callback, error);
}

static int remove_reader(void *self, int64_t fd, struct loophost_error *error) {
    (void)error;
    return remove_one(self, fd, 0);
}

static int remove_writer(void *self, int64_t fd, struct loophost_error *error) {
    (void)error;
    return remove_one(self, fd, 1);
}

static int unknown_interest(uint32_t interest, struct loophost_error *error) {
    return loophost_fail(error, LOOPHOST_ERROR_NOT_SUPPORTED, 0,
                         "interest 0x%x has unknown bits: use 1 (READ) and 2 (WRITE)", (unsigned)interest);
}

static int watch_io(void *self, int64_t fd, uint32_t interest, struct loophost_repeat_callback callback, uint64_t *id,
                    struct loophost_error *error) {
    struct select_loop *loop = self;
    if (interest & ~KNOWN_INTEREST) {
        host->drop_repeat_callback(&callback);
        return unknown_interest(interest, error);
    }
    struct watch *watch = place_for(loop, fd, error);
    if (watch == NULL || watch->id != 0) {
        host->drop_repeat_callback(&callback);
        return watch == NULL ? -1 : fd_busy(fd, error);
    }
    watch->id = *id = new_id(loop);
    watch->is_stream = 1;
    watch->armed = interest;
    hold(loop, &watch->reader, callback);
    return 0;
}

static struct watch *stream(struct select_loop *loop, uint64_t id) {
    for (int fd = 0; fd <= loop->last_fd; fd++)
        if (loop->watches[fd].id == id && loop->watches[fd].is_stream) return &loop->watches[fd];
    return NULL;
}

static int rearm_io(void *self, uint64_t id, uint32_t interest, struct loophost_error *error) {
    struct watch *watch = stream(self, id);
    if (interest & ~KNOWN_INTEREST) return unknown_interest(interest, error);
    if (watch == NULL)
        return loophost_fail(error, LOOPHOST_ERROR_NOT_FOUND, 0, "no stream has the id %llu", (unsigned long long)id);
    watch->armed |= interest;
    return 0;
}

static int unwatch_io(void *self, uint64_t id, struct loophost_error *error) {
    struct watch *watch = stream(self, id);
    (void)error;
    if (watch == NULL) return 0;
    struct loophost_repeat_callback removed = clear(&watch->reader);
    memset(watch, 0, sizeof *watch);
    host->drop_repeat_callback(&removed);
    return 1;
}

/* ---- Signals ---- */

/* On the host's thread for signals: hops to the loop's. */
static int on_signal(void *data, const struct loophost_event *event, struct loophost_error *error) {
    struct select_loop *loop = data;
    struct entry entry = {.kind = SIGNAL, .event = *event};
    pthread_mutex_lock(&loop->lock);
    int is_taken = loop->is_closed || push(&loop->ready, entry);
    wake(loop);
    pthread_mutex_unlock(&loop->lock);
    return is_taken ? 0 : loophost_fail(error, LOOPHOST_ERROR_OS, ENOMEM, "no memory for a signal");
}

static int add_signal_handler(void *self, int32_t signum, struct loophost_repeat_callback callback,
                              struct loophost_error *error) {
    struct select_loop *loop = self;
    uint64_t subscription = 0;
    int is_known = signum > 0 && signum <= LAST_SIGNAL && loop->signals[signum].subscription != 0;
    /* The host knows which signals there are. */
    if (!is_known && (host->signal_subscribe(signum, host->make_repeat_callback(on_signal, NULL, loop), &subscription,
                                             error) < 0)) {
        host->drop_repeat_callback(&callback);
        return -1;
    }
    if (!is_known) loop->signals[signum].subscription = subscription;
    callback = hold(loop, &loop->signals[signum].callback, callback);
    host->drop_repeat_callback(&callback);
    return 0;
}

static int remove_signal_handler(void *self, int32_t signum, struct loophost_error *error) {
    struct select_loop *loop = self;
    if (signum <= 0 || signum > LAST_SIGNAL || loop->signals[signum].subscription == 0) return 0;
    uint64_t subscription = loop->signals[signum].subscription;
    struct loophost_repeat_callback removed = clear(&loop->signals[signum].callback);
    loop->signals[signum].subscription = 0;
    int result = host->signal_unsubscribe(subscription, error);
    host->drop_repeat_callback(&removed);
    return result < 0 ? -1 : 1;
}

/* ---- The rest ---- */

static int set_debug(void *self, int on, struct loophost_error *error) {
    (void)error;
    ((struct select_loop *)self)->is_debug = on;
    return 0;
}

static int set_exception_handler(void *self, struct loophost_repeat_callback handler, struct loophost_error *error) {
    struct select_loop *loop = self;
    (void)error;
    handler = loophost_is_none(&handler) ? clear(&loop->exception_handler)
                                         : hold(loop, &loop->exception_handler, handler);
    host->drop_repeat_callback(&handler);
    return 0;
}

static int call_exception_handler(void *self, const struct loophost_exception_context *context,
                                  struct loophost_error *error) {
    (void)error;
    report(self, context);
    return 0;
}

static uint64_t capabilities(void *self) {
    (void)self;
    return LOOPHOST_CAN_READINESS | LOOPHOST_CAN_SIGNALS;
}

static size_t name(void *self, char *buffer, size_t room) {
    (void)self;
    return (size_t)snprintf(buffer, room, "SelectEventLoop");
}

static int stat_of(void *self, uint32_t code, uint64_t *value) {
    struct select_loop *loop = self;
    switch (code) {
    case LOOPHOST_STAT_TURNS: *value = loop->turns; return 1;
    case LOOPHOST_STAT_CALLBACKS: *value = loop->callbacks; return 1;
    case LOOPHOST_STAT_WAKEUPS: *value = loop->wakeups; return 1;
    default: return 0;
    }
}

static int close_loop(void *self, struct loophost_error *error) {
    struct select_loop *loop = self;
    (void)error;
    for (int signum = 1; signum <= LAST_SIGNAL; signum++) remove_signal_handler(loop, signum, NULL);
    pthread_mutex_lock(&loop->lock);
    struct entries ready = loop->ready, timers = loop->timers;
    memset(&loop->ready, 0, sizeof ready);
    loop->is_closed = 1;
    loop->is_waiting = 0; /* nobody writes into the pipe any more */
    pthread_mutex_unlock(&loop->lock);
    memset(&loop->timers, 0, sizeof timers);
    if (loop->is_debug && count(&ready) + count(&timers)) {
        char message[128];
        snprintf(message, sizeof message, "closed with %zu callbacks, %zu timers left", count(&ready), count(&timers));
        log_line(2, __LINE__, message, NULL, 0);
    }
    close(loop->pipe[0]);
    close(loop->pipe[1]);
    drop_entries(&ready);
    drop_entries(&timers);
    for (int fd = 0; fd <= loop->last_fd; fd++) {
        struct loophost_repeat_callback reader = clear(&loop->watches[fd].reader);
        struct loophost_repeat_callback writer = clear(&loop->watches[fd].writer);
        host->drop_repeat_callback(&reader);
        host->drop_repeat_callback(&writer);
    }
    set_exception_handler(loop, (struct loophost_repeat_callback){{0}}, NULL);
    return 0;
}

static void drop_loop(void *self) {
    struct select_loop *loop = self;
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

static const struct loophost_loop_vtable select_loop_vtable = {
    .struct_size = sizeof select_loop_vtable,
    .drop = drop_loop,
    .run_forever = run_forever,
    .run_once = run_once,
    .stop = stop,
    .close = close_loop,
    .call_soon = call_soon_threadsafe,
    .call_soon_threadsafe = call_soon_threadsafe,
    .call_at = call_at,
    .cancel = cancel,
    .time = now,
    .add_reader = add_reader,
    .remove_reader = remove_reader,
    .add_writer = add_writer,
    .remove_writer = remove_writer,
    .watch_io = watch_io,
    .rearm_io = rearm_io,
    .unwatch_io = unwatch_io,
    .add_signal_handler = add_signal_handler,
    .remove_signal_handler = remove_signal_handler,
    .capabilities = capabilities,
    .name = name,
    .stat = stat_of,
    .set_debug = set_debug,
    .set_exception_handler = set_exception_handler,
    .call_exception_handler = call_exception_handler,
};

/* ---- The policy: the default one with other loops ---- */

static int new_event_loop(void *self, struct loophost_policy *outermost, struct loophost_loop **out,
                          struct loophost_error *error) {
    struct select_loop *loop = calloc(1, sizeof *loop);
    (void)self;
    (void)outermost;
    if (loop == NULL) return loophost_fail(error, LOOPHOST_ERROR_OS, ENOMEM, "no memory for an event loop");
    if (pipe2(loop->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        int why = errno;
        free(loop);
        return loophost_fail(error, LOOPHOST_ERROR_OS, why, "making the pipe of an event loop: %s", strerror(why));
    }
    pthread_mutex_init(&loop->lock, NULL);
    if (loop->pipe[0] >= FD_SETSIZE) {
        close_loop(loop, NULL);
        drop_loop(loop);
        return loophost_fail(error, LOOPHOST_ERROR_OS, EMFILE, "too many descriptors are open for select(2)");
    }
    if (host->make_loop(&select_loop_vtable, loop, NULL, out, error) == 0) return 0;
    close_loop(loop, NULL);
    drop_loop(loop);
    return -1;
}

static const struct loophost_policy_vtable select_policy_vtable = {
    .struct_size = sizeof select_policy_vtable,
    .new_event_loop = new_event_loop,
};

static int init(const struct loophost_host *the_host, struct loophost_error *error) {
    (void)error;
    host = the_host;
    return 0;
}

static int new_policy(const char *name_of_offer, const struct loophost_key_value *options, size_t options_len,
                      struct loophost_policy *base, struct loophost_policy **out, struct loophost_error *error) {
    (void)name_of_offer;
    (void)options;
    (void)options_len;
    return host->make_policy(&select_policy_vtable, NULL, base, out, error);
}

LOOPHOST_PLUGIN("name=c-policy\nversion=0.1.0\nsummary=an example in C: event loops on select(2)\n"
                "offer=policy:select\noffer.summary=the default policy with loops on select(2)\n");

LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {
    .struct_size = sizeof loophost_c_plugin_1,
    .init = init,
    .new_policy = new_policy,
};
