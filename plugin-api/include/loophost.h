/* loophost.h: the ABI of loophost for plugins in C (C11, C++17).
 *
 * A plugin is a shared library with two symbols:
 *   loophost_plugin_1    what it is, read without running any of it; made by LOOPHOST_PLUGIN
 *   loophost_c_plugin_1  a struct loophost_c_plugin, its functions
 * A complete one is examples/c-policy in loophost's repository.
 *
 * Objects. Loops, child watchers and policies are handles: struct loophost_loop and so on, which only the host can look
 * into. A plugin makes one of a table of functions and a pointer of its own (make_loop), and calls anybody's through the
 * host's tables of the same type (host->loops->stop(loop, &error)). A handle that is a parameter is lent until the
 * function returns: clone_loop makes one to keep, free_loop ends that. What comes back through an `out` belongs to the
 * receiver. Two handles may be the same object: same_loop tells.
 *
 * Tables begin with their struct_size and are copied by the host. A member that is NULL is not overridden: the base has
 * it, and without a base it is NOT_SUPPORTED, or what stands there.
 *
 * Versions. Within a major of the ABI a minor adds members at the end of tables and of structs that begin with their size,
 * and numbers. A plugin works on every host whose minor is its own or newer, and on older ones if it says so
 * (LOOPHOST_PLUGIN_NEEDS); what came later it may use after LOOPHOST_HAS has said that it is there. A table or struct of the
 * other side is never copied by sizeof: it may be shorter.
 *
 * Results. A function that returns int and takes an error: -1, and the error is filled; else 0 or more, where 1 is "yes"
 * and 0 is "no" or "done". An error belongs to the caller. The host's functions accept NULL for it; a plugin's never
 * get NULL.
 *
 * Callbacks are values that have one owner. Passed to a function they are given away, whatever it returns: who is given
 * one calls it or drops it, in the end. Four words of zero are none.
 *
 * Threads. [loop-thread]: the thread that runs the loop; while it is idle, one thread at a time. The host keeps that
 * rule for the loops of plugins, also for one that is bound to a thread: called elsewhere it answers WRONG_THREAD or BUSY
 * by itself. [any-thread]: what it says, several at once. Nothing is called with a lock held, and a plugin must not call the
 * host, a callback, or the drop of one while it holds a lock of its own or is in the middle of a change. In a child made by
 * fork(2) the loops of the parent answer FORKED, and nothing of them is called.
 *
 * Ids (of callbacks, timers, streams, operations, subscriptions) are never 0, and no object gives one twice: a stale one
 * names nothing.
 *
 * Text is UTF-8 and ends with a zero. Times are nanoseconds of CLOCK_MONOTONIC. No exception of C++ and no longjmp may
 * leave a function of a plugin.
 */
#ifndef LOOPHOST_H
#define LOOPHOST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LOOPHOST_ABI_MAJOR 1u
#define LOOPHOST_ABI_MINOR 0u

/* Whether a struct or table that begins with its size has a member. One that came with a later minor is not there on the
 * other side's if that is older, and must not be looked at then. */
#define LOOPHOST_HAS(it, member)                                                                                     \
    (*(const uint32_t *)(const void *)(it) >=                                                                        \
     (size_t)((const char *)&(it)->member - (const char *)(it)) + sizeof(it)->member)

#if defined(_WIN32)
#define LOOPHOST_VISIBLE __declspec(dllexport)
#elif defined(__GNUC__)
#define LOOPHOST_VISIBLE __attribute__((visibility("default"), used))
#else
#define LOOPHOST_VISIBLE
#endif

#ifdef __cplusplus
#define LOOPHOST_STATIC_ASSERT static_assert
#else
#define LOOPHOST_STATIC_ASSERT _Static_assert
#endif

/* Before the definition of a symbol that the host looks for. */
#ifdef __cplusplus
#define LOOPHOST_EXPORT extern "C" LOOPHOST_VISIBLE
extern "C" {
#else
#define LOOPHOST_EXPORT LOOPHOST_VISIBLE
#endif

/* ---- Errors ---- */

/* Codes below 2^31 are loophost's. */
enum {
    LOOPHOST_ERROR_OTHER = 0,
    LOOPHOST_ERROR_PANICKED = 1,         /* code on the other side panicked */
    LOOPHOST_ERROR_NOT_SUPPORTED = 2,    /* this object cannot do that */
    LOOPHOST_ERROR_OS = 3,               /* a system call failed: os_errno */
    LOOPHOST_ERROR_INVALID_ARGUMENT = 4, /* out of range, or unknown */
    LOOPHOST_ERROR_LOOP_CLOSED = 5,
    LOOPHOST_ERROR_LOOP_RUNNING = 6,     /* it, or another loop of this thread */
    LOOPHOST_ERROR_NO_CURRENT_LOOP = 7,  /* the policy has none for this context */
    LOOPHOST_ERROR_NO_RUNNING_LOOP = 8,  /* none runs in this thread */
    LOOPHOST_ERROR_WRONG_THREAD = 9,     /* another thread runs the loop */
    LOOPHOST_ERROR_BUSY = 10,            /* two threads used an idle loop */
    LOOPHOST_ERROR_REENTERED = 11,
    LOOPHOST_ERROR_FD_BUSY = 12,         /* watched by reader or writer, and as a stream */
    LOOPHOST_ERROR_INACTIVE = 13,        /* the child watcher is not active */
    LOOPHOST_ERROR_PROCESS_GONE = 14,
    LOOPHOST_ERROR_NOT_FOUND = 15,
    LOOPHOST_ERROR_FORKED = 16,          /* the loop belongs to the parent of this process */
    LOOPHOST_ERROR_LOOP_STOPPED = 17     /* before what it ran for was done */
};

/* A plugin's own code. */
#define LOOPHOST_ERROR_PLUGIN(n) (0x80000000u | (uint32_t)(n))

/* Lower case: what, which, what to do next. The receiver copies what it wants to keep. */
struct loophost_error {
    uint32_t code;
    int32_t os_errno;  /* 0: no system call failed */
    char message[504]; /* what does not fit is cut off */
};

/* Fills an error; returns -1, to be returned in its turn. */
#ifdef __GNUC__
__attribute__((format(printf, 4, 5)))
#endif
static inline int loophost_fail(struct loophost_error *error, uint32_t code, int os_errno, const char *format, ...) {
    va_list arguments;
    if (error == NULL) return -1;
    error->code = code;
    error->os_errno = os_errno;
    va_start(arguments, format);
    (void)vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- Small types ---- */

/* One option, detail or field. Who reads ignores the keys that it does not know. */
struct loophost_key_value {
    const char *key;
    const char *value;
};

/* What a descriptor is watched for, and what it is ready for. */
enum { LOOPHOST_READ = 1, LOOPHOST_WRITE = 2 };

/* How a child ended. Who has one filled sets its size first: struct loophost_child_exit exit; exit.size = sizeof exit; */
struct loophost_child_exit {
    uint32_t size;      /* of this struct; it may grow, and so may others that begin with theirs */
    int32_t raw_status; /* as wait(2) has it */
    uint64_t utime_us;
    uint64_t stime_us;
    uint64_t maxrss_kb;
};

/* What an exception handler is told. */
struct loophost_exception_context {
    uint32_t struct_size;
    const char *message;                      /* what went wrong */
    const struct loophost_error *error;       /* of the callback, or NULL */
    const struct loophost_key_value *details; /* "loop", "callback" and whatever else is known */
    size_t details_len;
};

/* ---- Events and callbacks ---- */

/* Kinds of events; those from 2^31 on are plugins' own. A later minor may have others: a callback that is told of a kind
 * which it does not know does nothing, and returns 0. */
enum {
    LOOPHOST_EVENT_SOON = 0,
    LOOPHOST_EVENT_TIMER = 1,
    LOOPHOST_EVENT_READY = 2,      /* of a reader or writer */
    LOOPHOST_EVENT_IO = 3,         /* of watch_io: result is what it is ready for */
    LOOPHOST_EVENT_SIGNAL = 4,     /* result is the signal, aux the pid of its sender (SIGCHLD: of the child) or 0 */
    LOOPHOST_EVENT_COMPLETION = 5, /* result is 0 or more, or -errno; aux the length of the address, if there is one */
    LOOPHOST_EVENT_CHILD = 6,      /* result is the returncode, aux the pid, data a loophost_child_exit */
    LOOPHOST_EVENT_EXCEPTION = 7   /* data is a loophost_exception_context */
};

/* Flags, each kind its own: the same bit may say something else of another kind. Unknown ones are ignored. */
enum {
    LOOPHOST_EVENT_STATUS_LOST = 1, /* CHILD: somebody else took the status */
    LOOPHOST_EVENT_CORE_DUMPED = 2, /* CHILD */
    LOOPHOST_EVENT_RECOVERED = 4,   /* CHILD: somebody else took the status, but the kernel still knew it */
    LOOPHOST_EVENT_MORE = 8,        /* COMPLETION: more events of this operation follow */
    LOOPHOST_EVENT_FROM_KERNEL = 1  /* SIGNAL: the kernel itself sent it, as it does for a terminal's ^C */
};

/* What happened; lent for the time of the call. */
struct loophost_event {
    uint32_t kind;
    uint32_t flags;
    int64_t result;
    uint64_t aux;
    const void *data; /* NULL, or what the kind says */
};

/* To be called once. Moved by copying it and forgetting where it was. */
struct loophost_callback {
    uintptr_t words[4];
};

/* To be called any number of times, by one thread at a time and never from inside its own call: what it calls may come back
 * to who holds it. Moved as above, but not while it is called. */
struct loophost_repeat_callback {
    uintptr_t words[4];
};

static inline int loophost_is_none(const struct loophost_repeat_callback *callback) {
    return callback->words[3] == 0;
}

/* A plugin's own function as a callback, for make_callback. Called where the receiver documents; an error goes to the
 * exception handler of the loop. */
typedef int (*loophost_call_fn)(void *data, const struct loophost_event *event, struct loophost_error *error);
/* Called once, on any thread, when `data` is no longer needed: after the last call, or without one. */
typedef void (*loophost_drop_fn)(void *data);

/* ---- Completion ---- */

/* Operations of `submit`; those from 2^31 on are plugins' own. Each ends with one event whose result is what the system
 * call of that name returns, or -errno; -ECANCELED if it was cancelled before it had an effect, or the thread that began it
 * has ended. None blocks the loop, whether or not the descriptor would block. Two on the same descriptor and in the same
 * direction have no order between them.
 *
 * New ones are new codes; an unknown code is NOT_SUPPORTED, and so is one that sets a field which it does not have. */
enum {
    /* Nothing; its event comes in a later turn. */
    LOOPHOST_OP_NOP = 0,
    /* read(2) into `ptr` and `len`, at `offset`. Regular files, and any other offset than LOOPHOST_OP_CURRENT_POSITION, may
     * be NOT_SUPPORTED. */
    LOOPHOST_OP_READ = 1,
    /* write(2) of `ptr` and `len`, at `offset`, as READ. It may take less than a blocking write(2) does, and as there a
     * closed peer is a SIGPIPE. */
    LOOPHOST_OP_WRITE = 2,
    /* As READ, readv(2): `ptr` is an array of `len` loophost_iovec, 1024 at the most. */
    LOOPHOST_OP_READV = 3,
    /* As WRITE, writev(2): `ptr` as for READV. */
    LOOPHOST_OP_WRITEV = 4,
    /* recv(2) into `ptr` and `len`, with the flags in `arg32`. Those about waiting (MSG_DONTWAIT, MSG_WAITALL) are
     * NOT_SUPPORTED. */
    LOOPHOST_OP_RECV = 5,
    /* send(2) of `ptr` and `len`, with the flags in `arg32`; a closed peer is EPIPE, never a signal. */
    LOOPHOST_OP_SEND = 6,
    /* As RECV, with the sender's address in `addr` (room for `addr_len` bytes); the event's `aux` is the length of the
     * address. */
    LOOPHOST_OP_RECVFROM = 7,
    /* As SEND, to the address in `addr` and `addr_len`. */
    LOOPHOST_OP_SENDTO = 8,
    /* accept4(2): a descriptor, close-on-exec and non-blocking, which is the callback's. It is delivered also if the
     * operation was cancelled or the loop closed meanwhile. `addr` and `addr_len` as for RECVFROM, or NULL; NULL with
     * LOOPHOST_OP_MULTISHOT. */
    LOOPHOST_OP_ACCEPT = 9,
    /* connect(2) to the address in `addr` and `addr_len`. */
    LOOPHOST_OP_CONNECT = 10,
    /* Waits until the descriptor is ready for something of the LOOPHOST_READ and LOOPHOST_WRITE in `arg32`; the result is
     * what for. With LOOPHOST_OP_MULTISHOT there is an event each time that it becomes ready, and perhaps more while it
     * is. */
    LOOPHOST_OP_POLL = 11,
    /* Waits until the process of a pidfd has exited, and leaves its status where it is; 0. */
    LOOPHOST_OP_WAIT_PROCESS = 12,
    /* Waits until the loop's clock has reached `offset` nanoseconds; 0. */
    LOOPHOST_OP_TIMEOUT = 13,
    /* close(2). */
    LOOPHOST_OP_CLOSE = 14
};

/* In `flags`: more than one event is wanted, until it is cancelled or fails; all but the last carry LOOPHOST_EVENT_MORE. For
 * ACCEPT and POLL. */
#define LOOPHOST_OP_MULTISHOT 1u
/* As `offset` of a read or write: where the descriptor stands; the only one that streams have. */
#define LOOPHOST_OP_CURRENT_POSITION UINT64_MAX

/* One operation. Everything it points to stays alive inside the callback that it is submitted with; what it does not use is
 * 0. */
struct loophost_op {
    uint32_t code;
    uint32_t flags;    /* LOOPHOST_OP_MULTISHOT or 0; an unknown bit is NOT_SUPPORTED */
    int64_t fd;        /* open until the final event, or -1; it may have several operations, readers and writers at once */
    void *ptr;         /* the buffer, or an array of loophost_iovec */
    uint64_t len;      /* bytes, or entries */
    void *addr;        /* a sockaddr_storage */
    uint32_t addr_len; /* bytes there */
    uint32_t arg32;    /* MSG_ flags, or LOOPHOST_READ and LOOPHOST_WRITE */
    uint64_t offset;   /* in a file, or a time in nanoseconds */
    uint64_t args[3];  /* 0 */
};

struct loophost_iovec {
    void *ptr;
    uint64_t len;
};

/* ---- Extensions ---- */

/* What the table of an extension begins with; this never grows. After it come functions that two sides have agreed on, by
 * the name "vendor.name/1". They take `object` as their first argument, so they work through objects that wrap the one that
 * has them. The table, and what `object` points to, live as long as whatever was asked for it, also when that is closed;
 * who passes on its base's keeps the base. The threads are the extension's own rule. A later member of the table may be used
 * after LOOPHOST_HAS. */
struct loophost_extension {
    uint32_t size;      /* of the whole table */
    uint32_t reserved;  /* 0 */
    const void *object; /* the maker's own; NULL in those of the host and of a plugin, which have none */
};

/* ---- Event loops ---- */

struct loophost_loop;
struct loophost_watcher;
struct loophost_policy;

/* What a loop can do and is, as bits. Who does not know one takes it for 0; 48 to 63 are plugins' own. */
#define LOOPHOST_CAN_READINESS UINT64_C(1)     /* readers, writers, streams */
#define LOOPHOST_CAN_COMPLETION UINT64_C(2)    /* submit */
#define LOOPHOST_CAN_SIGNALS UINT64_C(4)       /* signal handlers */
#define LOOPHOST_CAN_EMBEDDABLE UINT64_C(8)    /* poll_handle and next_deadline */
#define LOOPHOST_IS_THREAD_BOUND UINT64_C(16)  /* it stays in the thread of its first run, also when idle */

/* Figures of a loop; those from 2^31 on are plugins' own. */
enum { LOOPHOST_STAT_TURNS = 0, LOOPHOST_STAT_CALLBACKS = 1, LOOPHOST_STAT_WAKEUPS = 2 };

/* The methods of an event loop. `self` is the plugin's own pointer; in the host's table, a handle.
 *
 * Once `close` was called nothing but `drop` is, and in a child made by fork(2) not even that. The host answers by itself:
 * LOOP_CLOSED or FORKED; where there is no error, whether it runs and is closed, the time and the name; 0 for supports,
 * capabilities and stat, and NULL for an extension. What is [any-thread] may still be under way in another thread, so
 * `close` leaves the memory behind `self` to `drop`. A `close` that fails was not called.
 *
 * A loop without a base must have what is [required]. */
struct loophost_loop_vtable {
    uint32_t struct_size;
    /* [any-thread] The last use: frees what is behind `self`. NULL: there is nothing to free. Was the loop not
     * closed, and has it no base, then `close` comes before. */
    void (*drop)(void *self);
    /* [loop-thread] [required] Runs until `stop`. `outermost` is the object that is to be announced with
     * enter_running: this loop, or one that has it as its base. NULL in a call of the host's table: the loop
     * itself. */
    int (*run_forever)(void *self, struct loophost_loop *outermost, struct loophost_error *error);
    /* [loop-thread] [required] One turn: waits at most `timeout_ns` (UINT64_MAX: no limit), then runs what is
     * due. */
    int (*run_once)(void *self, struct loophost_loop *outermost, uint64_t timeout_ns, struct loophost_error *error);
    /* [any-thread] [required] Ends the run after the turn that is under way; before a run, that one ends after
     * one turn. */
    int (*stop)(void *self, struct loophost_error *error);
    /* [loop-thread] [required] Drops the calls that are pending, uncalled. Operations are cancelled and waited for,
     * a second at the most: first come their final events, then the drops of their callbacks. What the system has not
     * finished by then is leaked, callback and all, for it may still write there. The host does not call it while the
     * loop runs, nor again once it has worked. */
    int (*close)(void *self, struct loophost_error *error);
    /* [any-thread] 1 or 0. NULL without a base: the host knows. */
    int (*is_running)(void *self);
    /* [any-thread] 1 or 0. NULL without a base: the host knows. */
    int (*is_closed)(void *self);
    /* [loop-thread] A descriptor that is readable when run_once has something to do. */
    int (*poll_handle)(void *self, int64_t *fd, struct loophost_error *error);
    /* [loop-thread] When run_once must be called at the latest; UINT64_MAX: never. */
    int (*next_deadline)(void *self, uint64_t *when_ns, struct loophost_error *error);
    /* [loop-thread] [required] In the next turn, after all that were given before. */
    int (*call_soon)(void *self, struct loophost_callback callback, uint64_t *id, struct loophost_error *error);
    /* [any-thread] [required] The same, and wakes the loop. */
    int (*call_soon_threadsafe)(void *self, struct loophost_callback callback, uint64_t *id,
                                struct loophost_error *error);
    /* [loop-thread] [required] Once `time` has reached `when_ns`. */
    int (*call_at)(void *self, uint64_t when_ns, struct loophost_callback callback, uint64_t *id,
                   struct loophost_error *error);
    /* [loop-thread] [required] Drops a callback that has not run: 1 if it will not be called. */
    int (*cancel)(void *self, uint64_t id, struct loophost_error *error);
    /* [any-thread] [required] Nanoseconds of CLOCK_MONOTONIC. */
    uint64_t (*time)(void *self);
    /* [loop-thread] In every turn in which `fd` is ready; replaces. FD_BUSY if it is watched as a stream; OS with
     * EPERM for a regular file. */
    int (*add_reader)(void *self, int64_t fd, struct loophost_repeat_callback callback,
                      struct loophost_error *error);
    /* [loop-thread] 1 if there was one. */
    int (*remove_reader)(void *self, int64_t fd, struct loophost_error *error);
    /* [loop-thread] As add_reader, for writing. */
    int (*add_writer)(void *self, int64_t fd, struct loophost_repeat_callback callback,
                      struct loophost_error *error);
    /* [loop-thread] 1 if there was one. */
    int (*remove_writer)(void *self, int64_t fd, struct loophost_error *error);
    /* [loop-thread] An event when `fd` is ready for something that is armed: at first what is in `interest`. Each
     * direction is told once: an event uses up what it tells, and the other direction stays armed. With 0 it is
     * registered and silent until rearm_io. FD_BUSY if the descriptor is watched already; NOT_SUPPORTED for an unknown
     * bit. */
    int (*watch_io)(void *self, int64_t fd, uint32_t interest, struct loophost_repeat_callback callback,
                    uint64_t *id, struct loophost_error *error);
    /* [loop-thread] Arms directions again, besides those that are armed; NOT_FOUND if there is no such stream,
     * NOT_SUPPORTED for an unknown bit. Must follow EAGAIN in each of them, or a read or write that has done less than
     * was asked of it: what was ready before may not be told again, but for an end-of-file, which is. An event that was
     * not needed may come. */
    int (*rearm_io)(void *self, uint64_t id, uint32_t interest, struct loophost_error *error);
    /* [loop-thread] 1 if it was watched. Comes before the descriptor is closed. */
    int (*unwatch_io)(void *self, uint64_t id, struct loophost_error *error);
    /* [loop-thread] The callback comes in the loop's thread; signal_subscribe helps. Replaces. */
    int (*add_signal_handler)(void *self, int32_t signum, struct loophost_repeat_callback callback,
                              struct loophost_error *error);
    /* [loop-thread] 1 if there was one. */
    int (*remove_signal_handler)(void *self, int32_t signum, struct loophost_error *error);
    /* [loop-thread] 0: exactly one final event, never from inside `submit`; -1: the callback was dropped and nothing has
     * begun. What `op` points to lives inside the callback, which is not dropped before the system is done with it; `op`
     * itself is lent for the call. NOT_SUPPORTED for an operation, a flag, a field or a kind of file that the loop does
     * not have. */
    int (*submit)(void *self, const struct loophost_op *op, struct loophost_repeat_callback callback, uint64_t *id,
                  struct loophost_error *error);
    /* [loop-thread] A request: the final event comes all the same, and may be a success. 0 if there is no such operation,
     * or it has ended. */
    int (*cancel_op)(void *self, uint64_t id, struct loophost_error *error);
    /* [any-thread] 1 if `submit` knows the operation. */
    int (*supports)(void *self, uint32_t op_code);
    /* [any-thread] Bits: LOOPHOST_CAN_READINESS and so on. They stay what they are when make_loop asks, which binds the
     * loop to its thread if they have LOOPHOST_IS_THREAD_BOUND: only `close` comes from any other one then. */
    uint64_t (*capabilities)(void *self);
    /* [any-thread] Writes its name, which ends with a zero, into `room` bytes, and returns how many it has without the
     * zero, as snprintf: what does not fit is cut off. `room` may be 0. Asked for by make_loop, and kept. */
    size_t (*name)(void *self, char *buffer, size_t room);
    /* [any-thread] 1 and a figure, or 0 if it is not counted. */
    int (*stat)(void *self, uint32_t code, uint64_t *value);
    /* [loop-thread] Whether slow callbacks are reported, and what is left at the end. */
    int (*set_debug)(void *self, int on, struct loophost_error *error);
    /* [loop-thread] What is told of errors in callbacks; none restores the default, a line in the log. */
    int (*set_exception_handler)(void *self, struct loophost_repeat_callback handler, struct loophost_error *error);
    /* [loop-thread] Tells it. */
    int (*call_exception_handler)(void *self, const struct loophost_exception_context *context,
                                  struct loophost_error *error);
    /* [any-thread] The table of extension "vendor.name/1", which begins with a loophost_extension and lives as long
     * as this object, or NULL. */
    const void *(*extension)(void *self, const char *id);
};

/* ---- Child watchers ---- */

/* The methods of a child watcher: it finds out that a child has exited, and asks the host for the status (`reap`).
 * Without a base it must have what is [required]. */
struct loophost_watcher_vtable {
    uint32_t struct_size;
    /* [any-thread] The last use: frees what is behind `self`. NULL: there is nothing to free. */
    void (*drop)(void *self);
    /* [any-thread] [required] Calls `callback` once when the child has exited, on any thread, never from inside.
     * A second one replaces the first. `pidfd` (-1: none) is lent until then, or until remove_child_handler has
     * returned. */
    int (*add_child_handler)(void *self, int64_t pid, int64_t pidfd, struct loophost_callback callback,
                             struct loophost_error *error);
    /* [any-thread] [required] 1: there was one, and it does not run and will not. */
    int (*remove_child_handler)(void *self, int64_t pid, struct loophost_error *error);
    /* [any-thread] `loop` may be NULL. All of it or nothing. */
    int (*attach_loop)(void *self, struct loophost_loop *loop, struct loophost_error *error);
    /* [any-thread] [required] Whether the exit of a child that is spawned now would be noticed. */
    int (*is_active)(void *self);
    /* [any-thread] Before and after a spawn; the token is the watcher's own. INACTIVE: nothing is spawned. NULL
     * without a base: the host asks is_active. */
    int (*begin_spawn)(void *self, uint64_t *token, struct loophost_error *error);
    /* [any-thread] `pid` is 0 if there is no child. */
    int (*end_spawn)(void *self, uint64_t token, int64_t pid, struct loophost_error *error);
    /* [any-thread] [required] Drops all handlers. Twice is fine. */
    int (*close)(void *self, struct loophost_error *error);
    /* [any-thread] As that of a loop, but asked for whenever it is needed. */
    size_t (*name)(void *self, char *buffer, size_t room);
    /* [any-thread] As that of a loop. */
    const void *(*extension)(void *self, const char *id);
};

/* ---- Policies ---- */

/* The methods of a policy. `outermost` is the object that was called: a method that needs another one calls it there, so
 * that what overrides it is used. It is lent and never kept. NULL in a call of the host's table: the policy itself.
 * Without a base all are required but `drop` and `extension`. */
struct loophost_policy_vtable {
    uint32_t struct_size;
    /* [any-thread] The last use: frees what is behind `self`. NULL: there is nothing to free. */
    void (*drop)(void *self);
    /* [any-thread] The loop of this context; NO_CURRENT_LOOP if there is none and none is to be made. */
    int (*get_event_loop)(void *self, struct loophost_policy *outermost, struct loophost_loop **out,
                          struct loophost_error *error);
    /* [any-thread] `loop` may be NULL. */
    int (*set_event_loop)(void *self, struct loophost_policy *outermost, struct loophost_loop *loop,
                          struct loophost_error *error);
    /* [any-thread] Makes a loop, without making it current. */
    int (*new_event_loop)(void *self, struct loophost_policy *outermost, struct loophost_loop **out,
                          struct loophost_error *error);
    /* [any-thread] The watcher of the process, made when it is first asked for. */
    int (*get_child_watcher)(void *self, struct loophost_policy *outermost, struct loophost_watcher **out,
                             struct loophost_error *error);
    /* [any-thread] `watcher` may be NULL. The previous one is closed. */
    int (*set_child_watcher)(void *self, struct loophost_policy *outermost, struct loophost_watcher *watcher,
                             struct loophost_error *error);
    /* [any-thread] As that of a loop. */
    const void *(*extension)(void *self, const char *id);
};

/* ---- The host ---- */

/* A line of the log. */
struct loophost_log_record {
    uint32_t struct_size;
    uint32_t level;     /* 1 error, 2 warn, 3 info, 4 debug, 5 trace */
    uint32_t line;      /* in `file` */
    const char *target; /* as in LOOPHOST_LOG; the plugin's name */
    const char *file;   /* or NULL */
    const char *message;
    const struct loophost_key_value *fields;
    size_t fields_len;
};

/* What `reap` answers. */
enum {
    LOOPHOST_REAP_EXITED = 0,      /* and this call took the status */
    LOOPHOST_REAP_STILL_ALIVE = 1,
    LOOPHOST_REAP_NOT_OURS = 2,    /* no child of this process, or its status was taken before */
    LOOPHOST_REAP_LOST = 3,        /* somebody else took the status */
    LOOPHOST_REAP_RECOVERED = 4    /* somebody else took it, but the kernel still knew it */
};

/* What a plugin may ask of the host. It lives as long as the process. */
struct loophost_host {
    uint32_t struct_size;
    uint32_t abi_minor;
    /* The methods of every handle, with the handle as `self`. `drop` is free_loop and so on. */
    const struct loophost_loop_vtable *loops;
    const struct loophost_watcher_vtable *watchers;
    const struct loophost_policy_vtable *policies;

    /* [any-thread] Make an object. `base` is what has the methods that are NULL, or NULL. On an error `self`
     * stays the caller's. */
    int (*make_loop)(const struct loophost_loop_vtable *vtable, void *self, struct loophost_loop *base,
                     struct loophost_loop **out, struct loophost_error *error);
    /* [any-thread] As make_loop. */
    int (*make_watcher)(const struct loophost_watcher_vtable *vtable, void *self, struct loophost_watcher *base,
                        struct loophost_watcher **out, struct loophost_error *error);
    /* [any-thread] As make_loop. */
    int (*make_policy)(const struct loophost_policy_vtable *vtable, void *self, struct loophost_policy *base,
                       struct loophost_policy **out, struct loophost_error *error);
    /* [any-thread] A handle of one's own to the same object; NULL to NULL. */
    struct loophost_loop *(*clone_loop)(struct loophost_loop *loop);
    /* [any-thread] As clone_loop. */
    struct loophost_watcher *(*clone_watcher)(struct loophost_watcher *watcher);
    /* [any-thread] As clone_loop. */
    struct loophost_policy *(*clone_policy)(struct loophost_policy *policy);
    /* [any-thread] Gives back a handle of one's own: cloned, or come through an `out`. The last one drops the
     * object. */
    void (*free_loop)(struct loophost_loop *loop);
    /* [any-thread] As free_loop. */
    void (*free_watcher)(struct loophost_watcher *watcher);
    /* [any-thread] As free_loop. */
    void (*free_policy)(struct loophost_policy *policy);
    /* [any-thread] 1 if both are the same object. */
    int (*same_loop)(struct loophost_loop *one, struct loophost_loop *other);
    /* [any-thread] As same_loop. */
    int (*same_watcher)(struct loophost_watcher *one, struct loophost_watcher *other);
    /* [any-thread] As same_loop. */
    int (*same_policy)(struct loophost_policy *one, struct loophost_policy *other);

    /* [any-thread] Make a callback of a function. `drop` may be NULL. */
    struct loophost_callback (*make_callback)(loophost_call_fn call, loophost_drop_fn drop, void *data);
    /* [any-thread] As make_callback. */
    struct loophost_repeat_callback (*make_repeat_callback)(loophost_call_fn call, loophost_drop_fn drop, void *data);
    /* [any-thread] Calls it; afterwards it is none. A second time, none, or an event without its data:
     * INVALID_ARGUMENT. */
    int (*call)(struct loophost_callback *callback, const struct loophost_event *event, struct loophost_error *error);
    /* [any-thread] Calls it; it stays, and stays where it is until the call returns. Never from inside its own call,
     * nor from two threads at once, which nobody notices. */
    int (*call_repeat)(struct loophost_repeat_callback *callback, const struct loophost_event *event,
                       struct loophost_error *error);
    /* [any-thread] Drop it without a call; afterwards it is none. None is fine. */
    void (*drop_callback)(struct loophost_callback *callback);
    /* [any-thread] As drop_callback. */
    void (*drop_repeat_callback)(struct loophost_repeat_callback *callback);
    /* [any-thread] What a callback of either kind is called, for messages: as the name of a loop. A copy of the words
     * will do, also when the callback is gone. */
    size_t (*callback_name)(const uintptr_t words[4], char *buffer, size_t room);

    /* [any-thread] 1 if a record of this level and target would be written. */
    int (*log_enabled)(uint32_t level, const char *target);
    /* [any-thread] Writes a record. */
    void (*log)(const struct loophost_log_record *record);
    /* [any-thread] The number of this process, never 0: another one than that of everything it descends from by fork(2)
     * without exec. What was made under another number must not be used here. No system call. */
    uint64_t (*process_number)(void);

    /* [loop-thread] Announces that this thread runs `loop`; LOOP_RUNNING if it runs one already. */
    int (*enter_running)(struct loophost_loop *loop, uint64_t *token, struct loophost_error *error);
    /* [loop-thread] Ends it. */
    int (*leave_running)(uint64_t token, struct loophost_error *error);
    /* [any-thread] The loop that this thread runs: a handle of one's own, or NULL. */
    struct loophost_loop *(*current_loop)(void);
    /* [any-thread] The policy of the process. */
    int (*get_event_loop_policy)(struct loophost_policy **out, struct loophost_error *error);
    /* [any-thread] NULL: a fresh default. */
    int (*set_event_loop_policy)(struct loophost_policy *policy, struct loophost_error *error);
    /* [any-thread] Make one of the host's own, by name: within a major there is always "selector", without options.
     * NOT_FOUND for a name that the host does not know. */
    int (*new_loop)(const char *name, const struct loophost_key_value *options, size_t options_len,
                    struct loophost_loop **out, struct loophost_error *error);
    /* [any-thread] As new_loop. There are always "auto", "pidfd", "threaded", "safe", "multi-loop", and "fast", which has
     * the option polite (true or false). */
    int (*new_watcher)(const char *name, const struct loophost_key_value *options, size_t options_len,
                       struct loophost_watcher **out, struct loophost_error *error);
    /* [any-thread] The callback comes on the host's thread for signals. */
    int (*signal_subscribe)(int32_t signum, struct loophost_repeat_callback callback, uint64_t *id,
                            struct loophost_error *error);
    /* [any-thread] When it returns the callback is not running, unless this is called from inside it. */
    int (*signal_unsubscribe)(uint64_t id, struct loophost_error *error);
    /* [any-thread] Takes the status of a child if it has exited: LOOPHOST_REAP_EXITED and so on. Never waits. The size of
     * `status` must be set; INVALID_ARGUMENT takes nothing. */
    int (*reap)(int64_t pid, struct loophost_child_exit *status, struct loophost_error *error);
    /* [any-thread] As that of a loop; a static, without an object. */
    const void *(*extension)(const char *id);
};

/* The event for a child handler, of what `reap` has answered but LOOPHOST_REAP_STILL_ALIVE, which is no end. The status is
 * lost unless it says otherwise, also with an answer of a later minor. The host fills in the result. */
static inline struct loophost_event loophost_child_event(int64_t pid, const struct loophost_child_exit *status,
                                                         int reaped) {
    struct loophost_event event = {LOOPHOST_EVENT_CHILD, 0, 0, (uint64_t)pid, status};
    if (reaped == LOOPHOST_REAP_RECOVERED) event.flags = LOOPHOST_EVENT_RECOVERED;
    else if (reaped != LOOPHOST_REAP_EXITED) event.flags = LOOPHOST_EVENT_STATUS_LOST;
    return event;
}

/* ---- The plugin ---- */

/* Bytes of the text of LOOPHOST_PLUGIN, with its zero. */
#define LOOPHOST_METADATA_ROOM 4096

/* The functions of a plugin. `loophost_c_plugin_1` is one, exported:
 *     LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {sizeof(struct loophost_c_plugin), ...};
 * NULL: there is nothing to do, or nothing of the kind. */
struct loophost_c_plugin {
    uint32_t struct_size;
    /* [any-thread] Called once, before everything else. It must not start threads, nor change signals,
     * descriptors or the working folder of the process. */
    int (*init)(const struct loophost_host *host, struct loophost_error *error);
    /* [any-thread] Makes what is offered as `name`. `base` is the host's default, lent, or NULL. */
    int (*new_policy)(const char *name, const struct loophost_key_value *options, size_t options_len,
                      struct loophost_policy *base, struct loophost_policy **out, struct loophost_error *error);
    /* [any-thread] As new_policy. */
    int (*new_watcher)(const char *name, const struct loophost_key_value *options, size_t options_len,
                       struct loophost_watcher *base, struct loophost_watcher **out, struct loophost_error *error);
    /* [any-thread] As that of a loop; a static, without an object. */
    const void *(*extension)(const char *id);
};

/* What is read from the file without running any of it. */
struct loophost_descriptor {
    char magic[16];
    uint32_t size;
    uint32_t abi_major;
    uint32_t abi_minor;
    uint32_t needs_minor; /* the lowest minor of a host that it works with */
    uint32_t flags;       /* unknown ones of bits 0 to 15 are ignored; of 16 to 31 they keep the host from loading it */
    uint32_t metadata_len;
    char abi_stable[16];  /* of plugins in Rust */
    char metadata[LOOPHOST_METADATA_ROOM]; /* the rest of it; hosts read more, too */
};

#define LOOPHOST_PLUGIN_PANIC_ABORT 1u /* of plugins in Rust */
#define LOOPHOST_PLUGIN_C 2u           /* its functions are loophost_c_plugin_1 */
#define LOOPHOST_PLUGIN_MUST_KNOW 0xffff0000u /* flags that a host must know */

/* Says what the plugin is, once in a file, with lines of key=value:
 *     LOOPHOST_PLUGIN("name=mine\nversion=1.0.0\nsummary=what it is\n"
 *                     "offer=policy:mine\noffer.summary=what that is\noffer.option.max=how many\n");
 * An offer is policy:NAME or watcher:NAME; its summary and its options follow it. */
#define LOOPHOST_PLUGIN(text) LOOPHOST_PLUGIN_NEEDS(LOOPHOST_ABI_MINOR, text)

/* The same for a plugin that works on hosts whose minor of the ABI is `minor` or newer: it uses nothing that came later, or
 * asks LOOPHOST_HAS and does without. */
#define LOOPHOST_PLUGIN_NEEDS(minor, text)                                                                           \
    LOOPHOST_STATIC_ASSERT(sizeof(text) <= LOOPHOST_METADATA_ROOM, "too long for the plugin's descriptor");          \
    LOOPHOST_EXPORT const struct loophost_descriptor loophost_plugin_1 = {                                           \
        "loophost plugin",  sizeof(struct loophost_descriptor),                                                      \
        LOOPHOST_ABI_MAJOR, LOOPHOST_ABI_MINOR,                                                                      \
        (minor),            LOOPHOST_PLUGIN_C,                                                                       \
        sizeof(text) - 1,   "",                                                                                      \
        text}

#ifdef __cplusplus
}
#endif

#endif
