/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.h: typed reading of one value tree with errors "file:line: path: what".
 *
 * Every reader takes an object, its path, and a key. A key that is absent or null leaves the
 * output, which holds the default, as it is. Private to this room.
 */
#ifndef HD_EXPERIMENT_READ_H
#define HD_EXPERIMENT_READ_H

#include <hd/experiment.h>

#define READ_PATH_MAX 256
/* Stands in the line of a node that the command line gave. */
#define READ_LINE_COMMAND (-1)

struct hd_reader {
    const char *file;
    struct hd_err *err;
};

/* path and key make "path.key"; either may be "". `at` gives the line and may be NULL. Returns
 * code. */
enum hd_code hd_read_fail(const struct hd_reader *reader, enum hd_code code,
                          const struct hd_value *at, const char *path, const char *key,
                          const char *fmt, ...) HD_PRINTF(6, 7);
enum hd_code hd_read_nomem(const struct hd_reader *reader);
/* Puts the same prefix before the text that a deeper room left in the error. */
enum hd_code hd_read_wrap(const struct hd_reader *reader, const struct hd_value *at,
                          const char *path, const char *key);
/* "the string "abc"", "a list": what a person sees when a type is wrong. */
enum hd_code hd_read_wrong_type(const struct hd_reader *reader, const struct hd_value *at,
                                const char *path, const char *key, const char *expected);

/* NULL when absent or null. */
const struct hd_value *hd_read_member(const struct hd_value *object, const char *key);
/* A member that must be a map; *ret_object is NULL when absent. */
HD_NODISCARD enum hd_code hd_read_object(const struct hd_reader *reader,
                                         const struct hd_value *object, const char *path,
                                         const char *key, const struct hd_value **ret_object);
/* Refuses keys not in names and tells the nearest. */
HD_NODISCARD enum hd_code hd_read_keys(const struct hd_reader *reader,
                                       const struct hd_value *object, const char *path,
                                       const char *const *names, size_t count);
/* Replaces *text, which is freed. Refuses the empty string. */
HD_NODISCARD enum hd_code hd_read_text(const struct hd_reader *reader,
                                       const struct hd_value *object, const char *path,
                                       const char *key, char **text);
/* What is wrong with the name of an image, as engines see it; NULL: nothing that is known here. */
const char *hd_image_name_fault(const char *name);
/* The member "image" of an object: as hd_read_text, and refuses what is no such name. */
HD_NODISCARD enum hd_code hd_read_image(const struct hd_reader *reader,
                                        const struct hd_value *object, const char *path,
                                        char **ret_image);
HD_NODISCARD enum hd_code hd_read_bool(const struct hd_reader *reader,
                                       const struct hd_value *object, const char *path,
                                       const char *key, bool *boolean);
/* Whole doubles count as integers. */
HD_NODISCARD enum hd_code hd_read_i64(const struct hd_reader *reader, const struct hd_value *object,
                                      const char *path, const char *key, int64_t min, int64_t max,
                                      int64_t *number);
HD_NODISCARD enum hd_code hd_read_u32(const struct hd_reader *reader, const struct hd_value *object,
                                      const char *path, const char *key, uint32_t min, uint32_t max,
                                      uint32_t *number);
/* A finite number. */
HD_NODISCARD enum hd_code hd_read_double(const struct hd_reader *reader,
                                         const struct hd_value *object, const char *path,
                                         const char *key, double *number);
/* A duration: text with units, or a number of seconds. */
HD_NODISCARD enum hd_code hd_read_ms(const struct hd_reader *reader, const struct hd_value *object,
                                     const char *path, const char *key, int64_t min_ms,
                                     int64_t max_ms, int64_t *ms);
/* A size: text with units, or a number of bytes. */
HD_NODISCARD enum hd_code hd_read_bytes(const struct hd_reader *reader,
                                        const struct hd_value *object, const char *path,
                                        const char *key, uint64_t *bytes);
/* One of names; *index tells which. */
HD_NODISCARD enum hd_code hd_read_choice(const struct hd_reader *reader,
                                         const struct hd_value *object, const char *path,
                                         const char *key, const char *const *names, size_t count,
                                         size_t *index);
/* The text of a scalar as a target sees it (3, 0.5, true, text); false for null, lists, maps. */
bool hd_scalar_text(const struct hd_value *value, struct hd_buf *out, enum hd_code *ret_code,
                    struct hd_err *err);
/* "90s", "1m", "250ms": the largest unit that divides. */
#define READ_MS_TEXT_SIZE 32
void hd_format_ms(char *dst, size_t dst_size, int64_t ms);

/* normal.c: a copy of the file's tree in which aliases and shorthands are gone and the command
 * line has been written in. */
HD_NODISCARD enum hd_code hd_experiment_normalize(const struct hd_reader *reader,
                                                  const struct hd_value *value,
                                                  const struct hd_experiment_overrides *overrides,
                                                  struct hd_value **ret_value);

/* sampler.c; the space is parsed before. */
HD_NODISCARD enum hd_code hd_sampler_part_parse(const struct hd_reader *reader,
                                                const struct hd_value *root,
                                                struct hd_experiment *experiment);

/* generator.c; the budget is parsed before. */
HD_NODISCARD enum hd_code hd_generator_parse(const struct hd_reader *reader,
                                             const struct hd_value *root,
                                             struct hd_experiment *experiment);
struct hd_value *hd_generator_describe(const struct hd_iter_gen_spec *spec); /* NULL: no memory */

/* container.c */
HD_NODISCARD enum hd_code hd_container_parse_resources(const struct hd_reader *reader,
                                                       const struct hd_value *resources,
                                                       struct hd_container *container);
HD_NODISCARD enum hd_code hd_container_parse(const struct hd_reader *reader,
                                             const struct hd_value *target,
                                             struct hd_container *container);
/* `target.networks` and `target.ports`; the image and what goes with it are parsed before. */
HD_NODISCARD enum hd_code hd_networks_parse(const struct hd_reader *reader,
                                            const struct hd_value *object,
                                            struct hd_target *target);
void hd_container_release(struct hd_container *container);
struct hd_value *hd_words_describe(char *const *words); /* a list; NULL: no memory */
struct hd_value *hd_container_describe(const struct hd_container *container); /* NULL: no memory */
struct hd_value *hd_container_describe_ulimits(const struct hd_container *container);
/* warm.c; command, env and args are parsed before. */
HD_NODISCARD enum hd_code hd_warm_parse(const struct hd_reader *reader,
                                        const struct hd_value *object, struct hd_target *target);
/* warm.c; warm is parsed before. */
HD_NODISCARD enum hd_code hd_ahead_parse(const struct hd_reader *reader,
                                         const struct hd_value *object, struct hd_target *target);
struct hd_value *hd_warm_describe(const struct hd_warm_spec *warm); /* NULL: no memory */
/* log_rules.c */
HD_NODISCARD enum hd_code hd_log_rules_parse(const struct hd_reader *reader,
                                             const struct hd_value *root,
                                             struct hd_experiment *experiment);
void hd_log_rules_release(struct hd_experiment *experiment);
HD_NODISCARD enum hd_code hd_from_output_parse(const struct hd_reader *reader,
                                               const struct hd_value *target_object,
                                               struct hd_target *target);
void hd_from_output_release(struct hd_target *target);

/* services.c; the target is parsed before. NULL: there are none. */
struct hd_services;
struct hd_service_port;
/* "80", "8080:80/udp", "127.0.0.1:8080:80", {host, container}; nothing is set that is not said. */
HD_NODISCARD enum hd_code hd_port_parse(const struct hd_reader *reader, const struct hd_value *item,
                                        const char *path, struct hd_service_port *ret_port);
HD_NODISCARD enum hd_code hd_services_read(const struct hd_reader *reader,
                                           const struct hd_value *root, const char *base_dir,
                                           struct hd_services **ret_plan);
struct hd_value *hd_services_describe(const struct hd_services *plan); /* NULL: no memory */

/* notify.c */
HD_NODISCARD enum hd_code hd_notify_parse(const struct hd_reader *reader,
                                          const struct hd_value *root, struct hd_notify *notify);
void hd_notify_release(struct hd_notify *notify);
bool hd_notify_is_default(const struct hd_notify *notify);
struct hd_value *hd_notify_describe(const struct hd_notify *notify); /* NULL: no memory */

/* artifacts.c; the objectives are parsed before. "all" (0), "incumbent" (1), or how many of the
 * best. */
HD_NODISCARD enum hd_code hd_keep_parse(const struct hd_reader *reader, const struct hd_value *map,
                                        const char *path, const char *key,
                                        const struct hd_experiment *experiment, uint32_t *keep);
HD_NODISCARD enum hd_code hd_artifacts_parse(const struct hd_reader *reader,
                                             const struct hd_value *root,
                                             struct hd_experiment *experiment);
void hd_artifacts_release(struct hd_artifacts_spec *spec);
bool hd_artifacts_is_default(const struct hd_artifacts_spec *spec);
struct hd_value *hd_artifacts_describe(const struct hd_artifacts_spec *spec); /* NULL: no memory */

/* objective.c: objectives and constraints. */
HD_NODISCARD enum hd_code hd_objectives_parse(const struct hd_reader *reader,
                                              const struct hd_value *root,
                                              struct hd_experiment *experiment);
void hd_objectives_release(struct hd_experiment *experiment);
/* NULL: no memory. Constraints: an empty list when there are none. */
struct hd_value *hd_objectives_describe(const struct hd_experiment *experiment);
struct hd_value *hd_constraints_describe(const struct hd_experiment *experiment);
struct hd_value *hd_noise_describe(const struct hd_experiment *experiment);

/* volumes.c; image and base_dir are parsed before. */
HD_NODISCARD enum hd_code hd_data_parse(const struct hd_reader *reader,
                                        const struct hd_value *object, struct hd_target *target);
HD_NODISCARD enum hd_code hd_volumes_parse(const struct hd_reader *reader,
                                           const struct hd_value *object, struct hd_target *target);
void hd_volumes_release(struct hd_target *target);
struct hd_value *hd_data_describe(const struct hd_target *target); /* NULL: no memory */
struct hd_value *hd_volumes_describe(const struct hd_target *target);

/* code.c; base_dir is parsed before. */
HD_NODISCARD enum hd_code hd_code_parse(const struct hd_reader *reader,
                                        const struct hd_value *object, struct hd_target *target);
void hd_code_release(struct hd_target *target);
struct hd_value *hd_code_describe(const struct hd_target *target); /* NULL: no memory */

/* target.c; the space is parsed before. */
HD_NODISCARD enum hd_code hd_target_parse(const struct hd_reader *reader,
                                          const struct hd_value *root, const struct hd_space *space,
                                          struct hd_target *target);
void hd_target_release(struct hd_target *target);
struct hd_value *hd_target_describe(const struct hd_target *target); /* NULL: no memory */

#endif
