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
#define HD_CONDITION_DEPTH_MAX 32   /* any and all within one another */
#define HD_CONDITION_NODES_MAX 1000 /* of one `when` or one forbidden clause */
#define HD_SPACE_FORBIDDEN_MAX 1000 /* clauses */
#define HD_SPACE_COMPARED_MAX 10000 /* values and groups in all expressions of a space together */
#define HD_SPACE_DRAWS_MAX 100      /* draws before a config is repaired instead */
#define HD_SPACE_REPAIR_MAX 1000    /* steps of a repair before the known legal config is taken */
#define HD_SPACE_NEIGHBOUR_DRAWS_MAX 100
#define HD_SPACE_VISITS_MAX 65536 /* cases looked at when the configs of a space are counted */
#define HD_SPACE_WORK_MAX                                                                          \
    (1u << 26) /* values and groups looked at for that: a fraction of a second */
#define HD_GRID_ENTRIES_MAX (1u << 20) /* cases times params that an hd_grid may hold */
#define HD_GRID_POINTS_MAX 1000

enum hd_param_kind {
    HD_PARAM_FLOAT,
    HD_PARAM_INT,
    HD_PARAM_CATEGORICAL,
    HD_PARAM_ORDINAL,
    HD_PARAM_BOOL,
    HD_PARAM_CONSTANT,
};

/* How sure the person is of `prior: {center, confidence}`. */
enum hd_confidence { HD_CONFIDENCE_LOW, HD_CONFIDENCE_MEDIUM, HD_CONFIDENCE_HIGH };

/*
 * An expression over params: a tree in preorder. nodes[0] is the root; the first child of node i is
 * i + 1, the next child of the same parent follows after node_count nodes. A leaf compares one
 * param; it is false while that param is inactive, whatever the operator.
 */
enum hd_condition_op {
    HD_CONDITION_ALL, /* every child holds; at least two children */
    HD_CONDITION_ANY, /* at least one child holds; at least two children */
    HD_CONDITION_IN,
    HD_CONDITION_NOT_IN,
    HD_CONDITION_LESS,
    HD_CONDITION_LESS_EQUAL,
    HD_CONDITION_GREATER,
    HD_CONDITION_GREATER_EQUAL,
};
struct hd_condition {
    enum hd_condition_op op;
    size_t node_count;   /* of the subtree that begins here, itself included */
    size_t parent_index; /* leaves: the param that is looked at */
    double *values;      /* leaves, config representation; IN, NOT_IN: any; the others: one */
    size_t value_count;
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
    /* float, int: a truncated normal instead of the uniform distribution. The mean is a value of
     * the param; with log the logarithm is normal and sd is that of the natural logarithm. */
    bool normal;
    double mean, sd;
    struct hd_value **choices; /* categorical, ordinal: scalars; bool: false, true; constant: one */
    size_t choice_count;
    double *weights;      /* categorical: as given, above 0; NULL: equal */
    double *cumulative;   /* with weights: choice_count + 1 shares from 0 to 1 */
    double default_value; /* config representation; the middle or the first choice when not given */
    bool has_default;
    /* What an expert believes: offered to samplers (hd_param_prior_density and others); the
     * distribution above does not know of it. */
    bool has_prior;
    double prior_center; /* config representation */
    enum hd_confidence prior_confidence;
    /* `when`: the param is active when this holds. condition_count 0: always. */
    struct hd_condition *conditions;
    size_t condition_count;
};

/* An expression that no config may fulfil. */
struct hd_forbidden {
    struct hd_condition *conditions;
    size_t condition_count;
};

struct hd_space {
    struct hd_param *params;
    size_t param_count;
    size_t free_count; /* params with more than one level: what there is to choose */
    struct hd_forbidden *forbidden;
    size_t forbidden_count;
    size_t *order;   /* [param_count]: parents before the params that they activate */
    double *witness; /* [param_count]: a config that is known to be legal */
    double size;     /* see hd_space_size() */
    bool size_exact;
};

/* Does the expression hold? No nodes: yes. */
bool hd_conditions_hold(const struct hd_condition *conditions, size_t count, const double *values);
/* Appends it for people: optimizer is adam or sgd, and layers > 2. */
HD_NODISCARD enum hd_code hd_conditions_write(const struct hd_space *space,
                                              const struct hd_condition *conditions, size_t count,
                                              struct hd_buf *out, struct hd_err *err);

/*
 * Reads the `space:` object: name -> {type: ..., ...}; a scalar in place of the object is a
 * constant; the member `forbidden` is a list of expressions. docs/experiment-file.md has the keys.
 *
 * Errors say "file:line: path: what" (path like "space.lr.low") and the nearest known key; `name`
 * is the file, `path` the prefix. Refused too: conditions that form a cycle, and clauses that
 * forbid everything. The latter is decided exactly while at most HD_SPACE_VISITS_MAX cases have to
 * be looked at, in HD_SPACE_WORK_MAX steps (a case gives each param that some expression looks at a
 * value or a range of values that no expression tells apart); beyond, a space is refused when no
 * legal config is found by drawing and repairing.
 */
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

/* Number of distinct legal configs; INFINITY when a float without step can be active. O(1). Exact
 * when space->size_exact, otherwise (too many cases) not below the exact number. */
double hd_space_size(const struct hd_space *space);
/* Number of levels of one param; INFINITY for a float without step. */
double hd_param_levels(const struct hd_param *param);
/* Has the param anything to choose (more than one level)? */
bool hd_param_is_free(const struct hd_param *param);

/* Unit mapping of one param: the distribution function, so that a uniform unit has the param's
 * distribution. Ints and stepped floats get half-step margins, so each level owns a part of [0,1]:
 * equal parts on a linear scale, log((v + step/2) / (v - step/2)) on a log scale, what the normal
 * gives it, or the share of a choice's weight. Choices count as ints 0 .. choice_count - 1.
 * A normal is mixed with HD_PARAM_UNIFORM_PART of the uniform distribution, so that every value
 * within the bounds, however far from the mean, has a place in [0,1] and can be told from others.
 * Of a param with levels to_unit(from_unit(u)) is the centre of u's level, and
 * from_unit(to_unit(v)) == v exactly while there are at most HD_PARAM_EXACT_LEVELS_MAX levels (log:
 * and high / step is at most that; normal: a thousandth of it). Of a float without step both
 * directions are exact up to rounding (normal: to 1e-9 of the range) and never leave [low, high] or
 * [0, 1]. */
#define HD_PARAM_UNIFORM_PART 1e-3
#define HD_PARAM_EXACT_LEVELS_MAX 1e12
double hd_param_to_unit(const struct hd_param *param, double value);
double hd_param_from_unit(const struct hd_param *param, double unit);
/* The part [ret_low, ret_high] of [0, 1] that the level of `value` owns. The param has levels. */
void hd_param_level_range(const struct hd_param *param, double value, double *ret_low,
                          double *ret_high);
/* Level number `level` (0 .. levels - 1) as a config value, and back. The param has levels. */
double hd_param_level_value(const struct hd_param *param, double level);
double hd_param_level_of(const struct hd_param *param, double value);

/* ---- making configs: values[param_count]; all of these are legal ------------------------- */

/* Each param drawn from its distribution; params whose conditions do not hold become NaN. Draws
 * that meet a forbidden clause are thrown away; after HD_SPACE_DRAWS_MAX of them the last one is
 * repaired: params of a clause that is met are drawn again, at most HD_SPACE_REPAIR_MAX times, and
 * then the config that the parser knows to be legal is taken. */
void hd_space_sample(const struct hd_space *space, struct hd_rng *rng, double *ret_values);
/* The config that a point of the unit cube (free_count coordinates) stands for; where that meets a
 * forbidden clause, a repaired one that depends on the point alone. */
void hd_space_from_cube(const struct hd_space *space, const double *cube, double *ret_values);
/* The defaults; where these meet a forbidden clause, another legal config. */
void hd_space_default(const struct hd_space *space, double *ret_values);
/* A config that differs from `values` (legal) in one active param, as SMAC's one-exchange
 * neighbourhood (Hutter, Hoos and Leyton-Brown 2011): numbers and ordinals move by a normal step of
 * deviation 0.2 of the unit interval, at least one level; a choice becomes another one. Params that
 * become active are drawn. false: no other config was found in HD_SPACE_NEIGHBOUR_DRAWS_MAX tries,
 * and ret_values is a copy. They may overlap. */
bool hd_space_neighbour(const struct hd_space *space, struct hd_rng *rng, const double *values,
                        double *ret_values);
/* Gives params that are active but NaN a drawn value and makes inactive ones NaN; false when a
 * forbidden clause holds then. What a sampler calls after it has changed single params. */
bool hd_space_activate(const struct hd_space *space, struct hd_rng *rng, double *values);
/* Sets to NaN the params whose conditions do not hold. */
void hd_space_deactivate(const struct hd_space *space, double *values);
/* The last step of making a config: deactivates what must be, and answers whether no forbidden
 * clause holds. */
bool hd_space_finish(const struct hd_space *space, double *values);
/* Makes any assignment legal by the repair of hd_space_sample(). */
void hd_space_repair(const struct hd_space *space, struct hd_rng *rng, double *values);

/* ---- what experts believe ----------------------------------------------------------------- */

/* Has any param a prior? */
bool hd_space_has_prior(const struct hd_space *space);
/* As hd_space_sample(), but params with a prior are drawn from it. */
void hd_space_prior_sample(const struct hd_space *space, struct hd_rng *rng, double *ret_values);
/* Density of the prior at a unit coordinate, against the uniform one: numbers and ordinals have a
 * normal of deviation 0.5, 0.25, 0.125 (low, medium, high confidence) about the unit of the centre,
 * truncated to [0, 1]; the centre of a choice is 2, 4, 8 times as probable as by its share. 1 where
 * there is no prior. */
double hd_param_prior_density(const struct hd_param *param, double unit);
/* A unit coordinate drawn from that density. */
double hd_param_prior_draw(const struct hd_param *param, struct hd_rng *rng);

/* ---- all configs of a finite space, by number --------------------------------------------- */

/*
 * Every legal config exactly once. Floats without step have `points` values at equal distances in
 * the unit interval, both bounds included (points 0: such a space is refused with
 * HD_E_UNSUPPORTED). Order: params that no expression mentions count as the digits of a number, the
 * last one fastest; params that expressions join count as one digit at the place of the first of
 * them. HD_E_LIMIT: the expressions need more than HD_SPACE_VISITS_MAX cases or HD_GRID_ENTRIES_MAX
 * entries.
 */
struct hd_grid;
HD_NODISCARD enum hd_code hd_grid_new(const struct hd_space *space, uint32_t points,
                                      struct hd_grid **ret_grid, struct hd_err *err);
void hd_grid_free(struct hd_grid *grid);
/* Number of configs; UINT64_MAX: that or more. At least 1. */
uint64_t hd_grid_size(const struct hd_grid *grid);
/* index < hd_grid_size(). */
void hd_grid_config(const struct hd_grid *grid, uint64_t index, double *ret_values);
/* One of all configs, each as likely as the other. */
void hd_grid_sample(const struct hd_grid *grid, struct hd_rng *rng, double *ret_values);

/* ---- checking and identity ------------------------------------------------------------------ */

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
/* The reverse. Every param that is active must be there, of the right type and in range, and none
 * that is inactive; constants may be left out; unknown names are refused with the nearest known
 * one. */
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
