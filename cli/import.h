/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.h: experiments of older systems as experiments of ours. Pure: trees in, a tree and notes
 * out. What a file says is kept (the same configs in the same order) unless `optimize` is set;
 * what has no place here is an error with the line, never left out in silence.
 *
 * Sources: the documents that Hyperdock 0.19 keeps of a trial and its param spaces; the
 * parameters.yml of mlframework.
 */
#ifndef HD_CLI_IMPORT_H
#define HD_CLI_IMPORT_H

#include <hd/value.h>

#define IMPORT_VALUES_MAX 10000 /* of one param: choices, samples, steps of a range */
#define IMPORT_NOTES_MAX 4096   /* bytes */

struct import_options {
    const char *file;    /* for messages, and the name when there is no other */
    const char *name;    /* NULL: of the file */
    const char *image;   /* NULL: that of the file, if it has one */
    const char *command; /* NULL: none */
    int64_t spec;        /* Hyperdock: which param space of a list, from 1; 0: not given */
    bool optimize;       /* ranges and the default sampler in place of every combination */
};

struct import {
    struct hd_value *experiment; /* as in an experiment file */
    struct hd_buf notes;         /* lines for the person */
};

/* HD_E_INVALID, HD_E_LIMIT: "FILE:LINE: param: what, and what to do". */
HD_NODISCARD enum hd_code import_hyperdock(const struct hd_value *document,
                                           const struct import_options *options,
                                           struct import *ret_import, struct hd_err *err);
/* `document` is of hd_yaml_parse_tagged() with IMPORT_TUPLE. */
#define IMPORT_TUPLE "tag:yaml.org,2002:python/tuple"
HD_NODISCARD enum hd_code import_mlframework(const struct hd_value *document,
                                             const struct import_options *options,
                                             struct import *ret_import, struct hd_err *err);
/* YAML with the notes as comments at its top. */
HD_NODISCARD enum hd_code import_write(const struct import *import, struct hd_buf *out,
                                       struct hd_err *err);
void import_release(struct import *import); /* also of one that was never made: all zero */

/* ---- what both share (import_space.c) ------------------------------------------------------- */

struct importer {
    const struct import_options *options;
    struct import *import;
    struct hd_err *err;
};
HD_NODISCARD enum hd_code import_fail(const struct importer *importer, const struct hd_value *at,
                                      const char *name, const char *what);
HD_NODISCARD enum hd_code import_nomem(const struct importer *importer);
/* Takes `item`, NULL as well. */
HD_NODISCARD enum hd_code import_put(const struct importer *importer, struct hd_value *object,
                                     const char *key, struct hd_value *item);
/* {type: .., choices: ..} of a list of scalars: ordinal when they are numbers in their order. One
 * value, once doubles are gone, is a constant. */
HD_NODISCARD enum hd_code import_choices(const struct importer *importer, const char *name,
                                         const struct hd_value *list,
                                         struct hd_value **ret_definition);
/* What the run is called: as the person says, or the file itself (`own`, NULL: it does not), or
 * else after the file's name. */
void import_name(const struct import_options *options, const char *own, char *ret_name,
                 size_t size);
/* Name, sampler and generator. */
HD_NODISCARD enum hd_code import_frame(const struct importer *importer, const char *name,
                                       struct hd_value *target, struct hd_value *space);

/* ---- numpy's old generator (import_draws.c) ------------------------------------------------- */

/* Distributions of scipy.stats with the draws of numpy.random.RandomState(seed), value for value.
 * Parameters that are not given are NaN. */
struct import_distribution {
    const char *name;
    double loc, scale; /* 0 and 1 unless given */
    double shape[2];   /* s of lognorm; a and b of loguniform; low and high of randint */
};
/* Names of its shape parameters, at most two, NULL-terminated; NULL: this one is not known. */
const char *const *import_distribution_shapes(const char *name);
bool import_distribution_is_whole(const char *name); /* its values are integers */
extern const char import_distributions[];            /* names, for messages */
/* HD_E_INVALID: parameters for which there are no draws. */
HD_NODISCARD enum hd_code import_draw(const struct import_distribution *distribution, uint32_t seed,
                                      double *ret_values, size_t count, struct hd_err *err);

#endif
