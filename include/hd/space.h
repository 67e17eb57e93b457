/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space.h: a search space, its params, and configs as points of it. Pure.
 *
 * A config is an array of doubles, one per param in the order of the file:
 *   float, int           the value itself
 *   categorical, ordinal, bool   the index of the choice (bool: 0 false, 1 true)
 *   constant             0
 *   inactive param       NaN (conditions; see active)
 * The unit form maps each active param to [0, 1] (categoricals: index, not scaled).
 */
#ifndef HD_SPACE_H
#define HD_SPACE_H

#include <hd/base.h>
#include <hd/value.h>

#define HD_SPACE_PARAMS_MAX 1000
#define HD_PARAM_CHOICES_MAX 10000
#define HD_PARAM_NAME_MAX 200

enum hd_param_kind {
    HD_PARAM_FLOAT,
    HD_PARAM_INT,
    HD_PARAM_CATEGORICAL,
    HD_PARAM_ORDINAL,
    HD_PARAM_BOOL,
    HD_PARAM_CONSTANT,
};

struct hd_param {
    char *name;
    enum hd_param_kind kind;
    double low, high; /* float, int: inclusive bounds */
    bool log;
    double step; /* 0: none (float); ints have at least 1. Values are low + k * step <= high. */
    /* The power of ten that makes low and step whole, or 0: with it the values of a decimal grid
     * are the nearest doubles (0.3, not 0.30000000000000004). */
    double step_scale;
    struct hd_value **choices; /* categorical, ordinal: scalars; bool: false, true; constant: one */
    size_t choice_count;
    double default_value; /* config representation; the middle or the first choice when not given */
    bool has_default;
    /* Conditions: the param is active when every clause holds (empty: always active). The
     * parser refuses them until samplers honour them jointly; the representation is here so
     * that configs, facts and messages do not change. */
    struct hd_condition *conditions;
    size_t condition_count;
};

enum hd_condition_op { HD_CONDITION_IN, HD_CONDITION_LESS, HD_CONDITION_GREATER };
struct hd_condition {
    size_t parent_index;
    enum hd_condition_op op;
    double *values; /* config representation; IN: any of them; LESS, GREATER: one */
    size_t value_count;
};

/* A conjunction of (param, value) equalities that no config may hold. */
struct hd_forbidden {
    struct hd_condition *clauses;
    size_t clause_count;
};

struct hd_space {
    struct hd_param *params;
    size_t param_count;
    size_t free_count; /* params with more than one level: what there is to choose */
    struct hd_forbidden *forbidden;
    size_t forbidden_count;
};

/* Reads the `space:` object: name -> {type: ..., ...}; a scalar in place of the object is a
 * constant. float        low, high, [log], [step], [default] int          low, high, [log], [step],
 * [default] categorical  choices, [default]        ordinal  the same, in order bool [default]
 * constant value Errors say "file:line: path: what" (path like "space.lr.low") and the nearest
 * known key; `name` is the file, `path` the prefix. Conditions (`when`) and `forbidden` are
 * refused: HD_E_UNSUPPORTED. */
HD_NODISCARD enum hd_code hd_space_parse(const struct hd_value *value, const char *name,
                                         const char *path, struct hd_space **ret_space,
                                         struct hd_err *err);
void hd_space_free(struct hd_space *space);
/* Canonical description: parse(describe(s)) is s; two spaces are the same iff these are equal. */
HD_NODISCARD enum hd_code hd_space_describe(const struct hd_space *space,
                                            struct hd_value **ret_value, struct hd_err *err);
/* Human-readable difference of two descriptions, one line a param; empty when the same. */
HD_NODISCARD enum hd_code hd_space_diff(const struct hd_space *before, const struct hd_space *after,
                                        struct hd_buf *out, struct hd_err *err);
uint64_t hd_space_hash(const struct hd_space *space);

/* Number of distinct configs; INFINITY when a float has no step. */
double hd_space_size(const struct hd_space *space);
/* Number of levels of one param; INFINITY for a float without step. */
double hd_param_levels(const struct hd_param *param);
/* Has the param anything to choose (more than one level)? */
bool hd_param_is_free(const struct hd_param *param);

/* Unit mapping of one param. Ints and stepped floats get half-step margins, so each level owns a
 * part of [0,1]: equal parts on a linear scale, log((v + step/2) / (v - step/2)) on a log scale.
 * Choices count as ints 0 .. choice_count - 1. Of a param with levels to_unit(from_unit(u)) is the
 * centre of u's level, and from_unit(to_unit(v)) == v exactly while there are at most
 * HD_PARAM_EXACT_LEVELS_MAX levels (log: and high / step is at most that). Of a float without
 * step both directions are exact up to rounding and never leave [low, high] or [0, 1]. */
#define HD_PARAM_EXACT_LEVELS_MAX 1e12
double hd_param_to_unit(const struct hd_param *param, double value);
double hd_param_from_unit(const struct hd_param *param, double unit);
/* The part [ret_low, ret_high] of [0, 1] that the level of `value` owns. The param has levels. */
void hd_param_level_range(const struct hd_param *param, double value, double *ret_low,
                          double *ret_high);
/* Level number `level` (0 .. levels - 1) as a config value, and back. The param has levels. */
double hd_param_level_value(const struct hd_param *param, double level);
double hd_param_level_of(const struct hd_param *param, double value);

/* values[param_count]. Uniform over the space (log-uniform where log); params whose conditions
 * do not hold become NaN. */
void hd_space_sample(const struct hd_space *space, struct hd_rng *rng, double *ret_values);
/* The config that a point of the unit cube (free_count coordinates) stands for; categoricals
 * take floor(u * choice_count). */
void hd_space_from_cube(const struct hd_space *space, const double *cube, double *ret_values);
void hd_space_default(const struct hd_space *space, double *ret_values);
/* Sets to NaN the params whose conditions do not hold. Conditions form no cycle. */
void hd_space_deactivate(const struct hd_space *space, double *values);
/* The last step of making a config: deactivates what must be, and answers whether no forbidden
 * clause holds. */
bool hd_space_finish(const struct hd_space *space, double *values);
/* Every active value in range and on its grid, inactive ones NaN, no forbidden clause met. */
HD_NODISCARD enum hd_code hd_space_check(const struct hd_space *space, const double *values,
                                         struct hd_err *err);
/* Equal configs have equal hashes (floats by bits, after from_unit/to_unit quantisation). */
uint64_t hd_config_hash(const struct hd_space *space, const double *values);
bool hd_config_equal(const struct hd_space *space, const double *values_a, const double *values_b);

/* {"lr": 0.1, "units": 64, "activation": "relu"}: active params in the order of the file. */
HD_NODISCARD enum hd_code hd_config_to_value(const struct hd_space *space, const double *values,
                                             struct hd_value **ret_value, struct hd_err *err);
HD_NODISCARD enum hd_code hd_config_to_json(const struct hd_space *space, const double *values,
                                            struct hd_buf *out, struct hd_err *err);
/* The reverse. Every param that is active must be there, of the right type and in range; constants
 * may be left out; unknown names are refused with the nearest known one. */
HD_NODISCARD enum hd_code hd_config_from_value(const struct hd_space *space,
                                               const struct hd_value *value, double *ret_values,
                                               struct hd_err *err);
/* One param's value as a scalar of its type; borrowed-free: the caller frees it. */
HD_NODISCARD enum hd_code hd_param_to_value(const struct hd_param *param, double value,
                                            struct hd_value **ret_value, struct hd_err *err);
/* A scalar as the param's config value, checked. The text says what is allowed; the caller adds
 * where (hd_fail_in). A number within a millionth of a step from a level is that level. */
HD_NODISCARD enum hd_code hd_param_from_value(const struct hd_param *param,
                                              const struct hd_value *value, double *ret_value,
                                              struct hd_err *err);

#endif
