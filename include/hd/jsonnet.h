/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsonnet.h: jsonnet files, evaluated within bounds.
 *
 * A jsonnet file is a program: it can run for ever and fill the memory. It is evaluated in a child
 * process with limits, and only what comes out, JSON, enters this one. Imports are limited to the
 * directory of the file and what lies below it. docs/adr/0009-jsonnet.md
 */
#ifndef HD_JSONNET_H
#define HD_JSONNET_H

#include <hd/value.h>

#define HD_JSONNET_SOURCE_MAX (1024u * 1024u) /* bytes of a file, and of an imported one */
#define HD_JSONNET_OUTPUT_MAX (4u * 1024u * 1024u)
#define HD_JSONNET_STACK_MAX 200         /* calls within one another */
#define HD_JSONNET_CPU_S_MAX 10          /* processor time */
#define HD_JSONNET_TIME_MS_MAX 30000     /* on the clock */
#define HD_JSONNET_MEMORY_MAX (1u << 30) /* bytes of address space */

/* The name of a file says that it is jsonnet: "*.jsonnet". */
bool hd_jsonnet_is_named(const char *path);
/*
 * Evaluates the file. uuid not NULL: every text "UUID" or 'UUID' in the file's own source stands
 * for that one. HD_E_INVALID: the file is wrong, in the words of the evaluator, which name file and
 * line; HD_E_LIMIT: a limit above was passed. What a node of the tree was in the source cannot be
 * known: a text stands in the first line that holds it as a literal, other nodes where the text
 * before them stands, and where there is none the line is 0. In a large file with very many texts
 * only the first ones are looked for.
 */
HD_NODISCARD enum hd_code hd_jsonnet_read(const char *path, const char *uuid,
                                          struct hd_value **ret_value, struct hd_err *err);
/* The same from a text; `directory` is where imports begin, NULL: there are none. */
HD_NODISCARD enum hd_code hd_jsonnet_evaluate(const char *text, size_t size, const char *name,
                                              const char *directory, const char *uuid,
                                              struct hd_value **ret_value, struct hd_err *err);

#endif
