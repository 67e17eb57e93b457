/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os.h: the machine: clock, log, files, options, processes, secrets. Layer 3: never used by
 * pure rooms.
 */
#ifndef HD_OS_H
#define HD_OS_H

#include <hd/base.h>
#include <pthread.h>
#include <sys/types.h>

/* ---- clock -------------------------------------------------------------------------------- */
int64_t hd_clock_ms(void); /* monotonic, counts suspension (CLOCK_BOOTTIME where there is one) */
int64_t hd_clock_wall_ms(void); /* since 1970; display only */
int64_t hd_clock_us(void);      /* monotonic microseconds, for benchmarks */
/* "2026-01-31T12:00:00.123Z"; text_size >= HD_TIME_TEXT_SIZE */
#define HD_TIME_TEXT_SIZE 32
void hd_time_format(char *text, size_t text_size, int64_t wall_ms);

/* ---- log: one line each on stderr: time level program: text ------------------------------ */
enum hd_log_level { HD_LOG_ERROR, HD_LOG_WARNING, HD_LOG_INFO, HD_LOG_DEBUG };
void hd_log_open(const char *program, enum hd_log_level level);
HD_NODISCARD enum hd_code hd_log_level_parse(const char *name, enum hd_log_level *ret_level,
                                             struct hd_err *err);
/* HD_LOG_JSON: an object a line with time, level, program, text; and run, job, attempt, worker when
 * the line is about one: a text says "job 7", "attempt 2", "run R", "worker W" for that. */
enum hd_log_format { HD_LOG_TEXT, HD_LOG_JSON };
void hd_log_set_format(enum hd_log_format format);
HD_NODISCARD enum hd_code hd_log_format_parse(const char *name, enum hd_log_format *ret_format,
                                              struct hd_err *err);
void hd_log(enum hd_log_level level, const char *fmt, ...) HD_PRINTF(2, 3);
/* A line about a run (NULL or "": none) that its text does not name. */
void hd_log_run(enum hd_log_level level, const char *run_id, const char *fmt, ...) HD_PRINTF(3, 4);
/* A line that a stranger can cause: at most one a second of each `gate`, which begins zeroed; the
 * next one tells how many were left out. One thread a gate. */
struct hd_log_gate {
    int64_t next_ms;
    uint64_t left_out;
};
void hd_log_gated(struct hd_log_gate *gate, enum hd_log_level level, const char *fmt, ...)
    HD_PRINTF(3, 4);
bool hd_log_shows(enum hd_log_level level);
/* By the words of HD_LOG_OPTIONS. HD_E_INVALID names the option; nothing has changed then. */
struct hd_log_words {
    const char *level, *format; /* NULL: "info", "text" */
};
HD_NODISCARD enum hd_code hd_log_start(const char *program, const struct hd_log_words *words,
                                       struct hd_err *err);

/* ---- waiting for another thread ------------------------------------------------------------ */
/* For pthread_cond_wait() and hd_cond_wait_until(); not for pthread_cond_timedwait(), whose clock
 * is another one. */
void hd_cond_init(pthread_cond_t *cond);
/* As pthread_cond_wait(), until_ms of hd_clock_ms() at the latest. False, at once: it is later. No
 * condition can be waited for by a clock that counts suspension: what a machine slept is not waited
 * for again, but its last wait begins anew. */
bool hd_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ms);

/* ---- random ------------------------------------------------------------------------------- */
void hd_os_random(void *bytes, size_t size); /* getrandom; aborts when the kernel has none */
uint64_t hd_os_random_u64(void);

/* ---- files -------------------------------------------------------------------------------- */
/* Fails with the code that fits `number` (an errno) and "text: strerror". */
enum hd_code hd_fail_errno(struct hd_err *err, int number, const char *fmt, ...) HD_PRINTF(3, 4);
HD_NODISCARD enum hd_code hd_mkdirs(const char *path, mode_t mode, struct hd_err *err);
/* The whole of a regular file, refusing symlinks at the last component when nofollow, FIFOs,
 * devices, and more than size_max bytes (HD_E_LIMIT). */
HD_NODISCARD enum hd_code hd_file_read(const char *path, size_t size_max, bool nofollow,
                                       struct hd_buf *out, struct hd_err *err);
/* tmp + fsync + rename + fsync of the directory. What a kill leaves beside path has its name, and
 * more behind it, and at its end the suffix. */
#define HD_TEMPORARY_SUFFIX ".tmp"
HD_NODISCARD enum hd_code hd_file_write_atomic(const char *path, const void *bytes, size_t size,
                                               mode_t mode, struct hd_err *err);
/* The same without the fsyncs: whole or not there for every process, but a power cut may lose it.
 */
HD_NODISCARD enum hd_code hd_file_replace(const char *path, const void *bytes, size_t size,
                                          mode_t mode, struct hd_err *err);
/* Bytes that this user may still write to the disk of a directory; UINT64_MAX when that cannot be
 * told: the write says what is wrong. */
uint64_t hd_disk_free(const char *directory);
/* rm -rf that never follows symlinks and never leaves `path`; missing is fine. A mount point
 * inside is HD_E_CONFLICT. */
HD_NODISCARD enum hd_code hd_remove_tree(const char *path, struct hd_err *err);
/* Copies a tree of regular files, directories and symlinks (as symlinks) with modes, times and
 * holes; sockets, FIFOs and devices are left out. `to` must not exist; a failed copy is removed.
 * HD_E_LIMIT: more than bytes_max of data, or more than HD_COPY_ENTRIES_MAX entries. */
HD_NODISCARD enum hd_code hd_copy_tree(const char *from, const char *to, uint64_t bytes_max,
                                       struct hd_err *err);
#define HD_COPY_ENTRIES_MAX 1000000u
/* Opens a file that somebody else may have put there: a regular one, no link; HD_E_INVALID else. */
HD_NODISCARD enum hd_code hd_file_open_regular(const char *path, int *ret_fd, struct hd_err *err);
/* dir + "/" + name into an allocated text (free with hd_free). NULL when memory is short. */
char *hd_path_join(const char *directory, const char *name);
bool hd_path_exists(const char *path);
/* Absolute form of path against directory (NULL: the current one); does not need to exist. */
HD_NODISCARD enum hd_code hd_path_absolute(const char *directory, const char *path, char **ret_path,
                                           struct hd_err *err);
/* flock'd file holding our pid; HD_E_BUSY names the holder's pid. */
struct hd_lock_file;
HD_NODISCARD enum hd_code hd_lock_file_take(const char *path, struct hd_lock_file **ret_lock,
                                            struct hd_err *err);
void hd_lock_file_release(struct hd_lock_file *lock);

/* ---- this program and its siblings -------------------------------------------------------- */
/* Path of a sibling program ("hd-master") beside /proc/self/exe, in a meson build tree
 * (../dispatcher/hd-master ...), in ../libexec/hyperdock or ../bin, or on PATH. */
HD_NODISCARD enum hd_code hd_sibling_program(const char *name, char **ret_path, struct hd_err *err);
/* fork + exec without a shell; argv[0] without '/' is looked up on PATH. stdio_log: file for
 * stdout and stderr (append; stdin is then /dev/null) or NULL to inherit; new_session: setsid.
 * The child starts with default signal handling and no other descriptor; a program that cannot
 * start is an error here. The caller waits for ret_pid. */
HD_NODISCARD enum hd_code hd_spawn(const char *const argv[], const char *stdio_log,
                                   bool new_session, pid_t *ret_pid, struct hd_err *err);
/* Runs a program (argv[0] as above), gives it `input` and takes what it writes to stdout, at most
 * out's limit; its stderr is thrown away. One that is not done after timeout_ms or writes more is
 * killed: HD_E_TIMEOUT, HD_E_LIMIT. *ret_status: as waitpid() gives it. */
HD_NODISCARD enum hd_code hd_capture(const char *const argv[], const char *input,
                                     int64_t timeout_ms, struct hd_buf *out, int *ret_status,
                                     struct hd_err *err);
/* Start time of a process in clock ticks since boot (/proc/PID/stat), 0 when it is gone or a
 * zombie: a pid alone is not an identity. */
uint64_t hd_process_start_ticks(pid_t pid);

/* ---- secrets ------------------------------------------------------------------------------ */
/* The token: from `path`, or $HYPERDOCK_TOKEN_FILE, or the user's file
 * ($XDG_CONFIG_HOME|~/.config)/hyperdock/token, made on first use with mode 0600. A token file
 * others can read is refused. ret_token: HD_OS_TOKEN_SIZE bytes. */
#define HD_OS_TOKEN_SIZE 129
HD_NODISCARD enum hd_code hd_token_load(const char *path, char *ret_token, char **ret_path,
                                        struct hd_err *err);
/* Only where the token would be read from; makes and reads nothing. The caller frees *ret_path. */
HD_NODISCARD enum hd_code hd_token_find(const char *path, char **ret_path, struct hd_err *err);
/* ($XDG_CONFIG_HOME|~/.config)/hyperdock/NAME, whether it is there or not. The caller frees it. */
HD_NODISCARD enum hd_code hd_users_file(const char *name, char **ret_path, struct hd_err *err);
/* Constant time; false when one is empty, NULL or too long. */
bool hd_token_equal(const char *a, const char *b);

/*
 * A token file holds a line a token: "[ROLE] TOKEN [until=SECONDS]"; without a role a token has all
 * rights; until (seconds since 1970) ends an old one after a rotation; '#' begins a comment. The
 * first line is what this program itself says to others. hd_token_load() gives it.
 */
#define HD_KEYS_MAX 64 /* tokens of a file */
enum {
    HD_ROLE_WORKER = 1,   /* takes jobs and reports them */
    HD_ROLE_READER = 2,   /* reads runs */
    HD_ROLE_OPERATOR = 4, /* submits, pauses, resumes, cancels; "operator" reads too */
    HD_ROLE_MASTER = 8,   /* registers a master with a nameserver */
    HD_ROLE_ALL = 15
};
struct hd_key {
    unsigned roles;
    int64_t until_wall_s; /* 0: no end */
    char token[HD_OS_TOKEN_SIZE];
};
/* "all", "worker", "reader", "operator" */
HD_NODISCARD bool hd_role_parse(const char *name, unsigned *ret_roles);
const char *hd_role_name(unsigned roles);
/* ret_keys: HD_KEYS_MAX of them. A file that others can read is refused. */
HD_NODISCARD enum hd_code hd_keys_read(const char *path, struct hd_key *ret_keys, size_t *ret_count,
                                       struct hd_err *err);
/* Mode 0600, atomically: a program that reads it finds the old keys or the new ones. */
HD_NODISCARD enum hd_code hd_keys_write(const char *path, const struct hd_key *keys, size_t count,
                                        struct hd_err *err);
void hd_token_make(char *ret_token); /* 256 random bits; HD_OS_TOKEN_SIZE bytes */

/* The keys of a file, read again (at most twice a second) when it has changed; a file that is wrong
 * then leaves them as they were, with a line in the log. Any thread. */
struct hd_keyring;
HD_NODISCARD enum hd_code hd_keyring_open(const char *path, struct hd_keyring **ret_ring,
                                          struct hd_err *err);
/* One token with all rights, from elsewhere than a file of its own. */
HD_NODISCARD enum hd_code hd_keyring_fixed(const char *token, struct hd_keyring **ret_ring,
                                           struct hd_err *err);
void hd_keyring_free(struct hd_keyring *ring);
/* What this token may; 0: unknown or ended. Constant time. */
unsigned hd_keyring_roles(struct hd_keyring *ring, const char *token);
/* The first token, HD_OS_TOKEN_SIZE bytes; the answer rises with each change of the file. */
uint64_t hd_keyring_own(struct hd_keyring *ring, char *ret_token);

/* ---- the service manager (systemd) --------------------------------------------------------- */
/* Reads and removes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; before threads. Without them the
 * others do nothing. */
void hd_notify_open(void);
void hd_notify_ready(const char *status);
void hd_notify_stopping(void);
/* From the loop whose life matters: tells that it lives, a third of the interval after the last
 * time, and answers how long it may wait at most (wait_ms < 0: for ever). */
int64_t hd_watchdog_feed(int64_t wait_ms);

/* ---- standard streams ------------------------------------------------------------------------ */
/* First of all in a program: a standard stream that came closed is /dev/null from now on. Otherwise
 * the next file or socket that is opened gets its number, and what the program says goes into it.
 */
void hd_streams_open(void);
/* Last of all: whether everything reached standard output. A reader that went away, as `head` does,
 * has what it wanted and is no failure. */
HD_NODISCARD enum hd_code hd_streams_end(struct hd_err *err);

/* ---- signals that end a program -------------------------------------------------------------- */
/* Before any thread starts, so that all threads inherit the mask and only the descriptor tells of
 * SIGTERM and SIGINT (struct signalfd_siginfo; it does not block). SIGPIPE is ignored from now on.
 */
HD_NODISCARD enum hd_code hd_stop_fd_open(int *ret_fd, struct hd_err *err);
/* The next one ends the process where it stands. From the thread that opened it. */
void hd_stop_fd_let_go(void);

/* ---- options ------------------------------------------------------------------------------ */
/*
 * One table a program: parsing, --help, man page check and bash completion all read it.
 * Long options only, plus -h; "--name value" and "--name=value"; aliases keep old spellings
 * (--n-iterations, --worker_id: '_' and '-' are the same). An unknown option names the nearest one.
 */
enum hd_option_kind {
    HD_OPTION_FLAG,     /* bool */
    HD_OPTION_TEXT,     /* const char * */
    HD_OPTION_INT,      /* int64_t */
    HD_OPTION_DOUBLE,   /* double */
    HD_OPTION_DURATION, /* int64_t milliseconds */
    HD_OPTION_LIST,     /* struct hd_text_list: may be repeated */
};
#define HD_OPTION_LIST_MAX 256
struct hd_text_list {
    const char *items[HD_OPTION_LIST_MAX];
    size_t count;
};
struct hd_option {
    const char *name;    /* without the dashes */
    const char *aliases; /* "old-name,other" or NULL */
    enum hd_option_kind kind;
    void *value;              /* where it goes; its content before parsing is the default */
    const char *hint;         /* "HOST:PORT" */
    const char *help;         /* one line */
    int64_t int_min, int_max; /* INT: both 0 = any */
    bool *given;              /* set when it stood on the command line; may be NULL */
};
/* Rows of programs that serve. */
#define HD_LOG_OPTIONS(words)                                                                      \
    {.name = "log-level",                                                                          \
     .kind = HD_OPTION_TEXT,                                                                       \
     .value = &(words).level,                                                                      \
     .hint = "LEVEL",                                                                              \
     .help = "error, warning, info or debug"},                                                     \
    {                                                                                              \
        .name = "log-format", .kind = HD_OPTION_TEXT, .value = &(words).format, .hint = "FORMAT",  \
        .help = "text, or json: an object a line"                                                  \
    }
struct hd_program {
    const char *name;     /* "hd-master", "hd run" */
    const char *summary;  /* one line */
    const char *usage;    /* "hd run EXPERIMENT [options]" */
    const char *epilogue; /* examples, exit codes; may be NULL */
    const struct hd_option *options;
    size_t option_count;
    size_t positional_min, positional_max;
};
enum hd_parse_answer { HD_PARSE_GO, HD_PARSE_EXIT_OK, HD_PARSE_EXIT_USAGE };
/* Handles --help and --version itself (stdout), errors on stderr. ret_positionals has room for
 * positional_max; they are borrowed from argv. Everything after "--" is positional. */
enum hd_parse_answer hd_options_parse(const struct hd_program *program, int argc, char **argv,
                                      const char **ret_positionals, size_t *ret_positional_count);
void hd_options_help(const struct hd_program *program, struct hd_buf *out);
/* Exit codes of every program. */
enum {
    HD_EXIT_OK = 0,
    HD_EXIT_FAILED = 1,
    HD_EXIT_USAGE = 2,
    HD_EXIT_PAUSED = 3,
    HD_EXIT_INTERRUPTED = 130
};

/* ---- a queue between threads, with a wake-up descriptor ----------------------------------- */
/* Many producers, one consumer; bounded: push answers HD_E_LIMIT when full. fd becomes readable
 * when there is something to pop (eventfd). Items are pointers owned by whoever holds them. */
struct hd_queue;
HD_NODISCARD enum hd_code hd_queue_new(size_t items_max, struct hd_queue **ret_queue,
                                       struct hd_err *err);
void hd_queue_free(struct hd_queue *queue); /* must be empty */
HD_NODISCARD enum hd_code hd_queue_push(struct hd_queue *queue, void *item);
/* NULL when nothing came within wait_ms (0: do not wait, < 0: for ever). */
void *hd_queue_pop(struct hd_queue *queue, int64_t wait_ms);
int hd_queue_fd(const struct hd_queue *queue);

#endif
