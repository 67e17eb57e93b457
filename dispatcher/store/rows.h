/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h: how a fact lies in a table: one table a kind, one column a field.
 *
 * The description is data, so that binding, reading, copying and checking are each written once.
 * Doubles are REAL with NaN as NULL; -0.0 reads back as 0.0. 64-bit unsigned numbers are kept as
 * the signed number of the same bits. A NULL text is read back as "".
 */
#ifndef HD_STORE_ROWS_H
#define HD_STORE_ROWS_H

#include <hd/fact.h>

#define HD_STORE_TEXT_MAX (1024u * 1024u) /* bytes of one text of a fact */
#define HD_ROW_COLUMNS_MAX 26

enum hd_column_type {
    HD_COLUMN_BOOL,
    HD_COLUMN_I32,
    HD_COLUMN_U32,
    HD_COLUMN_U32_OR_NULL, /* 0 is NULL: a reference to nothing */
    HD_COLUMN_U32_LESS,    /* 0 is NULL, and n is kept as n - 1 */
    HD_COLUMN_I64,
    HD_COLUMN_U64,
    HD_COLUMN_REAL,
    HD_COLUMN_TEXT,
    HD_COLUMN_JSON,    /* a text; empty is NULL, so that SQL's JSON functions can read the rest */
    HD_COLUMN_NAME,    /* a text inside the fact: char[HD_SAMPLER_NAME_MAX] */
    HD_COLUMN_DOUBLES, /* pointer at offset, size_t count at count_offset; little-endian BLOB */
    HD_COLUMN_NUMBERS, /* the same as a JSON list, for people; none is NULL, NaN is null */
    HD_COLUMN_OUTCOME, /* the enums are kept by name */
    HD_COLUMN_STATE,
    HD_COLUMN_OP,
    HD_COLUMN_LIMIT,
    HD_COLUMN_WORKER_STATE,
};

struct hd_column {
    const char *name;
    enum hd_column_type type;
    size_t offset; /* in struct hd_fact */
    size_t count_offset;
};

struct hd_table {
    const char *name;
    const struct hd_column *columns; /* after seq, wall_ms, run, which every table begins with */
    size_t column_count;
};

const struct hd_table *hd_table_of(enum hd_fact_kind kind);
/* The words of the enums: part of the file format, see the CHECKs of schema.sql. */
unsigned hd_column_word_count(enum hd_column_type type);
const char *hd_column_word(enum hd_column_type type, unsigned number);

/* A fact that continues a store which ends with last_seq: HD_E_INVALID or HD_E_LIMIT. */
HD_NODISCARD enum hd_code hd_fact_check(const struct hd_fact *fact, uint64_t last_seq,
                                        struct hd_err *err);

#endif
