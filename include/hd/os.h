/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os.h: the machine: clock, log, files, options, processes, secrets. Layer 3: never used by
 * pure rooms.
 */
#ifndef HD_OS_H
#define HD_OS_H

#include <hd/base.h>
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
void hd_log(enum hd_log_level level, const char *fmt, ...) HD_PRINTF(2, 3);
bool hd_log_shows(enum hd_log_level level);

/* ---- random ------------------------------------------------------------------------------- */
void hd_os_random(void *bytes, size_t size); /* getrandom; aborts when the kernel has none */
uint64_t hd_os_random_u64(void);

/* ---- files -------------------------------------------------------------------------------- */
HD_NODISCARD enum hd_code hd_mkdirs(const char *path, mode_t mode, struct hd_err *err);
/* The whole of a regular file, refusing symlinks at the last component when nofollow, FIFOs,
 * devices, and more than size_max bytes (HD_E_LIMIT). */
HD_NODISCARD enum hd_code hd_file_read(const char *path, size_t size_max, bool nofollow,
                                       struct hd_buf *out, struct hd_err *err);
/* tmp + fsync + rename + fsync of the directory. */
HD_NODISCARD enum hd_code hd_file_write_atomic(const char *path, const void *bytes, size_t size,
                                               mode_t mode, struct hd_err *err);
/* The same without the fsyncs: whole or not there for every process, but a power cut may lose it. */
HD_NODISCARD enum hd_code hd_file_replace(const char *path, const void *bytes, size_t size,
                                          mode_t mode, struct hd_err *err);
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
/* Constant time; false when one is empty, NULL or too long. */
bool hd_token_equal(const char *a, const char *b);

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
