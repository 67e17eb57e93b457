/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expression.h: a formula over a config's params, as `target.expression` has it.
 *
 * Grammar, weakest first; "^" and "? :" group to the right, unary minus binds weaker than "^":
 *
 *   choice  : or [ "?" choice ":" choice ]
 *   or      : and { "or" and }             and  : not { "and" not }
 *   not     : "not" not | compare          compare : sum [ ("<"|"<="|">"|">="|"=="|"!=") sum ]
 *   sum     : term { ("+"|"-") term }      term : factor { ("*"|"/"|"%") factor }
 *   factor  : ("-"|"+") factor | power     power : value [ "^" factor ]      ("**" is "^")
 *   value   : number | "text" | 'text' | name | function "(" choice { "," choice } ")" | "(" choice
 * ")"
 *
 * Truth is 1, and what is not 0. A text is compared with "==" or "!=" and used in no other way. pi
 * and e are numbers where no name hides them. Both sides of a choice are looked at for mistakes,
 * one is computed. Numbers are doubles; what is not finite is left to who asks.
 */
#ifndef HD_EXPRESSION_H
#define HD_EXPRESSION_H

#include <hd/base.h>

/* The program that evaluates one for a job: hd-expression FORMULA, in the job's environment. */
#define HD_EXPRESSION_PROGRAM "hd-expression"

#define HD_EXPRESSION_BYTES_MAX 4096
#define HD_EXPRESSION_NODES_MAX 1024
#define HD_EXPRESSION_DEPTH_MAX 64
#define HD_EXPRESSION_NAME_MAX 256 /* bytes of a name or a text, with the NUL */

struct hd_expression;

/* What a name stands for. */
struct hd_expression_value {
    const char *text; /* NULL: a number; valid until the lookup is called again */
    double number;
};
/* False: there is no such name now, which ends the evaluation. */
typedef bool (*hd_expression_lookup_fn)(void *context, const char *name,
                                        struct hd_expression_value *ret_value);

/* HD_E_INVALID, HD_E_LIMIT: the message has the column, from 1 on. The caller frees. */
HD_NODISCARD enum hd_code
hd_expression_parse(const char *text, struct hd_expression **ret_expression, struct hd_err *err);
void hd_expression_free(struct hd_expression *expression);

/* The names in the order of the text, each as often as it stands there; NULL at the end. */
const char *hd_expression_name(const struct hd_expression *expression, size_t index);

/* HD_E_NOTFOUND: a name that lookup does not know. HD_E_INVALID: a text where a number is needed.
 */
HD_NODISCARD enum hd_code hd_expression_evaluate(const struct hd_expression *expression,
                                                 hd_expression_lookup_fn lookup, void *context,
                                                 double *ret_number, struct hd_err *err);

#endif
