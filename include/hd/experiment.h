/* SPDX-License-Identifier: Apache-2.0 */
/*
 * experiment.h: the experiment file as one checked struct. Pure.
 *
 * One value tree, one validator: YAML and JSON give the same struct. Every default is explicit
 * after parsing; hd_experiment_describe() writes them out, and parse(describe(x)) is x. The JSON
 * of that description is what a store keeps and what workers receive.
 * Errors read "file:line: path: what is wrong, what would be right"; what the command line gave
 * reads "command line: path: ...". Every key is explained in docs/experiment-file.md.
 */
#ifndef HD_EXPERIMENT_H
#define HD_EXPERIMENT_H

#include <hd/iter_gen.h>
#include <hd/pareto.h>
#include <hd/race.h>
#include <hd/space.h>
#include <hd/value.h>

#define HD_EXPERIMENT_BYTES_MAX (256u * 1024u)
#define HD_COMMAND_WORDS_MAX 1000
#define HD_ENV_MAX 1000
#define HD_RETRIES_MAX 100
#define HD_CONSTRAINTS_MAX 32
#define HD_OBJECTIVE_NAME_MAX 256 /* bytes of the name of an objective or a constraint */
#define HD_MEASURES_MAX (HD_OBJECTIVES_MAX + HD_CONSTRAINTS_MAX)
#define HD_COUNT_LIMIT_MAX 1000000000 /* of limits that count something */
#define HD_LOG_RULES_MAX 32
#define HD_OUTPUT_VALUES_MAX 32
#define HD_LOG_PATTERN_MAX 256 /* bytes */
#define HD_LABEL_MAX 64        /* bytes, terminator included */
#define HD_NOTIFY_MAX 16       /* names in notify.to */
#define HD_ARTIFACT_PATTERNS_MAX 32
#define HD_ARTIFACT_PATTERN_MAX 256 /* bytes */
#define HD_ARTIFACT_KEEP_MAX 1000
#define HD_DATA_SETS_MAX 16 /* that one experiment needs */
#define HD_VOLUMES_MAX 64
#define HD_VOLUME_PATH_MAX 4096 /* bytes, terminator included */

struct hd_key_value {
    char *key;
    char *value;
};

/* What a container gets beyond its files. Lists end with NULL and are NULL when not given. */
struct hd_container {
    uint64_t shm_bytes; /* 0: the engine's own */
    char *cpuset;       /* "0-3,8"; NULL: any */
    char **ulimits;     /* "nofile=1024:4096" */
    char *user;         /* NULL: the worker's, or the image's when the worker is root */
    char *network;      /* NULL: the engine's own, or networks */
    char **networks;    /* all that it is in, instead of network */
    char **ports;       /* "127.0.0.1:8080:80/tcp", "[::1]::80/udp": published on the machine */
    char *runtime;      /* NULL: the engine's own */
    bool read_only;     /* its root file system */
    char **tmpfs;       /* "/tmp:size=64m" */
    char **cap_add, **cap_drop;
    bool privileged;
};

/* A target that stays alive and takes jobs one after another. */
struct hd_warm_spec {
    bool on;
    bool by_label; /* the image says whether, by its label hyperdock.warm; never together with on */
    uint32_t jobs; /* after so many it is ended and another one started; at least 1 */
    int64_t idle_ms;      /* how long it is kept without a job */
    int64_t heartbeat_ms; /* the longest silence in a job; 0: any */
};
#define HD_WARM_JOBS_DEFAULT 1000
#define HD_WARM_IDLE_MS_DEFAULT 60000
#define HD_IMAGE_UNBUILT "hyperdock-build"

/* When a worker asks the registry for the image. */
enum hd_pull {
    HD_PULL_MISSING, /* when the engine does not have it */
    HD_PULL_ALWAYS,  /* once more before the first job of a run on each worker */
    HD_PULL_NEVER,   /* whoever runs the worker has put it there */
    HD_PULL_COUNT
};
extern const char *const hd_pull_names[HD_PULL_COUNT];

/* A value that a target only prints. */
struct hd_output_value {
    char *name;  /* an objective's, a constraint's, "step", or any other */
    char *match; /* within hd_log_pattern_check(); its first group is the number */
};

/* A path or a data set of the worker's machine that a container sees. */
struct hd_volume {
    char *host; /* absolute, or relative to base_dir; NULL: a data set */
    char *data; /* name of a data set; NULL: a path */
    char *container;
    bool read_only;
};

struct hd_target {
    char *image; /* docker; NULL: none. Of one that is built: by the content of its directory, or
                    HD_IMAGE_UNBUILT until that has been read */
    char *build; /* the directory that it is built from, as written; NULL: it is pulled */
    char *dockerfile; /* in that directory; NULL without build */
    enum hd_pull pull;
    bool strict;    /* an attempt with another image than the run's first one is refused */
    char **command; /* words, templates not yet expanded; NULL-terminated; NULL when absent */
    size_t command_count;
    struct hd_key_value *env; /* values may hold templates */
    size_t env_count;
    char *data;       /* as written in the file, NULL none */
    char *data_name;  /* last component of data ("./data" -> "data") */
    char **data_sets; /* by name: each worker says where they are; NULL-terminated, NULL none */
    struct hd_volume *volumes; /* of an image only */
    size_t volume_count;
    char *code;            /* directory with the target's own files, as written; NULL none */
    char *code_hash;       /* of what it holds; NULL: not read yet */
    char *base_dir;        /* directory of the experiment file, absolute; "" unknown */
    double cpus;           /* 0: no limit */
    uint64_t memory_bytes; /* 0: no limit */
    int64_t pids;          /* 0: no limit */
    struct hd_container container;
    bool args_cli; /* active params follow the command as --name=value */
    struct hd_output_value *from_output;
    size_t from_output_count;
    bool as_hyperdock;            /* contract: hyperdock; what it wrote counts, not its exit code */
    int64_t gpus;                 /* wanted; 0 none; kept for the worker, which decides */
    int64_t timeout_base_ms;      /* 0 with per_budget 0: no limit */
    double timeout_per_budget_ms; /* whole milliseconds */
    int64_t stop_grace_ms;        /* default 10 s */
    bool checkpoint;              /* it goes on from what it kept in work; default false */
    uint32_t retries_infra;       /* default 2 */
    uint32_t retries_failed;      /* default 0 */
    struct hd_warm_spec warm;
    bool ahead; /* the container of the next job is made while one runs; default false */
};

/* The names of all data sets that a worker must have: those of `data`, then those of volumes; NULL
 * at the end. A name may come twice. */
const char *hd_target_needed_data(const struct hd_target *target, size_t index);
/* HD_E_INVALID: what may not be called so. */
HD_NODISCARD enum hd_code hd_data_name_check(const char *name, struct hd_err *err);

/* What the target's output says about a failed attempt. The first rule that matches counts. */
enum hd_log_action {
    HD_LOG_LABEL,          /* nothing but its label */
    HD_LOG_NO_RETRY,       /* another attempt would fail alike */
    HD_LOG_EXCLUDE_WORKER, /* the worker's fault: it gets no more jobs of this run */
    HD_LOG_ACTION_COUNT
};
const char *hd_log_action_name(enum hd_log_action action); /* "label", "no_retry" ... */
/* HD_E_INVALID, HD_E_LIMIT: no expression, too long, back references, too many repetitions. One
 * that passes compiles with REG_EXTENDED and is matched in time linear in the text. */
HD_NODISCARD enum hd_code hd_log_pattern_check(const char *pattern, struct hd_err *err);

struct hd_log_rule {
    char *match; /* POSIX extended regular expression, within hd_log_pattern_check() */
    enum hd_log_action action;
    char *label; /* "" none */
};

/* Which files of an attempt are shipped, and of which attempts; where to is the worker's affair. */
struct hd_artifacts_spec {
    bool off;
    char **files; /* patterns of paths in the attempt's directory; NULL: out/ and log.txt */
    size_t file_count;
    uint32_t keep; /* so many of the best attempts; 0: all */
};
/* A path such as "out/best.pt": "*" and "?" are within a component, a component "**" is any number
 * of them. */
bool hd_artifacts_match(const struct hd_artifacts_spec *spec, const char *path);
/* HD_E_INVALID, HD_E_LIMIT: it leaves the directory, has empty components, is too long. */
HD_NODISCARD enum hd_code hd_artifacts_check_pattern(const char *pattern, struct hd_err *err);

struct hd_objective {
    char *name; /* "loss" by default */
    bool maximize;
    bool exit_code_only; /* no objective: exit code 0 is success with loss 0 */
    bool has_goal;
    double goal; /* in the direction of the file */
    bool has_reference;
    double reference; /* what the hypervolume is counted from; in the direction of the file */
};

/* A value that the target reports and that decides whether a config is feasible. */
struct hd_constraint {
    char *name;
    double min, max; /* -INFINITY, INFINITY: no bound; at least one is */
};

/* What people can be told of. */
enum hd_notify_event {
    HD_NOTIFY_FINISHED,    /* a run is over */
    HD_NOTIFY_FAILED,      /* a run paused by itself, or ended because too much failed */
    HD_NOTIFY_INCUMBENT,   /* a new best config */
    HD_NOTIFY_WORKER_LOST, /* a worker left a job behind, or was quarantined */
    HD_NOTIFY_EVENT_COUNT
};
const char *hd_notify_event_name(enum hd_notify_event event); /* "finished", "worker-lost" ... */
HD_NODISCARD bool hd_notify_event_parse(const char *name, enum hd_notify_event *ret_event);

/* Who is told of what. The channels themselves are the master's: their addresses and tokens are
 * no part of an experiment. */
struct hd_notify {
    bool to_given; /* false: every channel of the master */
    char *to[HD_NOTIFY_MAX];
    size_t to_count;
    unsigned events; /* bits 1 << enum hd_notify_event, over those of the channels; 0: theirs */
};

struct hd_stop {
    uint32_t configs, jobs, full_evaluations; /* 0: no limit; iterations are in iter_gen */
    int64_t time_ms;         /* 0: no limit; a silence of the master counts at most 10 min */
    uint32_t failures;       /* 0: no limit; failed jobs in all */
    double budget;           /* 0: no limit; sum of the budgets of the jobs */
    uint32_t no_improvement; /* 0: no limit; jobs in a row that might have been better */
};

struct hd_services; /* hd/services.h */

struct hd_experiment {
    char *name;
    struct hd_target target;
    struct hd_objective objective; /* the first */
    struct hd_objective further[HD_OBJECTIVES_MAX - 1];
    uint32_t objective_count; /* at least 1, also when exit_code_only */
    struct hd_constraint constraints[HD_CONSTRAINTS_MAX];
    uint32_t constraint_count;
    struct hd_race_spec noise; /* repeats 1: the target is deterministic */
    struct hd_space *space;
    double
        *initial; /* [initial_count][space->param_count]: legal, different configs to try first */
    size_t initial_count;
    char *sampler_name;
    struct hd_value *sampler_settings; /* object, may be empty */
    struct hd_iter_gen_spec iter_gen;  /* budgets and stop.iterations included */
    char *budget_unit;                 /* "" when not given */
    bool budget_given;                 /* false: one budget of 1, as for a target that knows none */
    struct hd_stop stop;
    struct hd_log_rule *log_rules;
    size_t log_rule_count;
    struct hd_notify notify;
    struct hd_services *services; /* that the run needs; NULL none */
    bool services_per_worker;     /* each worker starts its own; otherwise hd run does, once */
    struct hd_artifacts_spec artifacts;
    bool checkpoints_stay; /* on the machine that wrote them; otherwise the master hands them on */
    bool files_stay; /* that attempts leave, at their workers; otherwise those of the best come to
                        the master */
    uint32_t keep_work; /* of configs that go on no more, the work directories of so many of the
                           best stay; 0: all. At most HD_ARTIFACT_KEEP_MAX */
    uint32_t pause_after_failures; /* failures without any success; default 5; 0 never */
    int32_t priority;              /* higher first; default 0 */
    uint32_t parallel;             /* jobs of this run at the same time; 0: no limit */
    bool has_seed;
    uint64_t seed;
    int32_t queue_min, queue_max; /* job_queue_sizes, default -1, 0; relative to free slots */
    bool queue_dynamic;           /* default true: relative to the workers; false: absolute */
    int64_t lease_ms;             /* default 30 s */
    int64_t ping_ms;              /* default 5 s */
    int64_t holder_wait_ms;       /* default 20 s: how long a job waits for the worker that has its
                                     directory */
};

/* Command line over file. NULL, NaN and 0 mean "not given". base_dir alone gives way to the file:
 * the absolute directory that relative paths begin at when the file does not say; without it that
 * of an absolute file name is taken. */
struct hd_experiment_overrides {
    const char *name;
    const char *base_dir;
    const char *image;
    double budget_min, budget_max, eta;
    uint32_t iterations;
    bool has_seed;
    uint64_t seed;
    int64_t time_ms;
    bool has_queue;
    int32_t queue_min, queue_max;
    bool queue_dynamic;
};

/* overrides may be NULL. HD_E_INVALID: the file is wrong; HD_E_LIMIT: a limit above would be
 * passed, or the description would be longer than HD_EXPERIMENT_BYTES_MAX. */
HD_NODISCARD enum hd_code hd_experiment_parse(const struct hd_value *value, const char *file_name,
                                              const struct hd_experiment_overrides *overrides,
                                              struct hd_experiment **ret_experiment,
                                              struct hd_err *err);
/* Text of a file: YAML or JSON. */
HD_NODISCARD enum hd_code hd_experiment_parse_text(const char *text, size_t size,
                                                   const char *file_name,
                                                   const struct hd_experiment_overrides *overrides,
                                                   struct hd_experiment **ret_experiment,
                                                   struct hd_err *err);
void hd_experiment_free(struct hd_experiment *experiment);
HD_NODISCARD enum hd_code hd_experiment_describe(const struct hd_experiment *experiment,
                                                 struct hd_value **ret_value, struct hd_err *err);
/* JSON of the description, the same bytes for the same experiment. Keys stand in the order of the
 * description and are not sorted: configs are stored by position, so params keep their order. */
HD_NODISCARD enum hd_code hd_experiment_to_json(const struct hd_experiment *experiment,
                                                struct hd_buf *out, struct hd_err *err);
/* Human lines, one a difference, empty when the same; what a resume shows when it refuses. Where
 * the file lay (base_dir) does not count. */
HD_NODISCARD enum hd_code hd_experiment_diff(const struct hd_experiment *before,
                                             const struct hd_experiment *after, struct hd_buf *out,
                                             struct hd_err *err);
/*
 * A result is measured by the minimised losses of all objectives and then the values of all
 * constraints as the target reports them. This many numbers; 0: one objective and no constraints, a
 * loss is all.
 */
size_t hd_experiment_measure_count(const struct hd_experiment *experiment);
static inline const struct hd_objective *
hd_experiment_objective(const struct hd_experiment *experiment, size_t index)
{
    return index == 0 ? &experiment->objective : &experiment->further[index - 1];
}
/* The name of measure `index`. */
const char *hd_experiment_measure_name(const struct hd_experiment *experiment, size_t index);
/* What optimizers are told of these measures: the losses, and the sum over the constraints of by
 * how much a bound is passed, relative to the bound where that is not 0. */
void hd_experiment_score(const struct hd_experiment *experiment, const double *measures,
                         struct hd_score *ret_score);
/* Milliseconds for one job at this budget; 0: no limit. */
int64_t hd_experiment_timeout_ms(const struct hd_experiment *experiment, double budget);

/* ---- templates: ${params.x} ${budget} ${seed} ${run_id} ${config_id} ${job} ${work_dir} ${uuid};
 * "$$" is a dollar. Unknown names are refused when the experiment is parsed. ------------------- */
struct hd_template_values {
    const struct hd_space *space;
    const double *values;
    double budget;
    uint32_t seed;
    const char *run_id;
    struct hd_config_id config_id;
    uint32_t job;
    const char *work_dir; /* as the target sees it */
    const char *uuid;     /* the same for all jobs of a run */
};
/* HD_E_INVALID with the nearest known name, or when a brace is missing. */
HD_NODISCARD enum hd_code hd_template_check(const char *text, const struct hd_space *space,
                                            struct hd_err *err);
/* Appends to out, all or nothing. An inactive param is the empty text; a lone "$" is itself. */
HD_NODISCARD enum hd_code hd_template_expand(const char *text,
                                             const struct hd_template_values *values,
                                             struct hd_buf *out, struct hd_err *err);
/* Splits a command string with shell quoting rules (no shell, no expansion); the characters
 * | & ; < > ` are refused outside quotes. The words are NULL-terminated. */
HD_NODISCARD enum hd_code hd_words_split(const char *text, char ***ret_words, size_t *ret_count,
                                         struct hd_err *err);
void hd_words_free(char **words); /* also of NULL */

#endif
