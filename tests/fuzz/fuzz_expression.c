/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a formula: no crash, and what is read can be evaluated, with every name a number, a
 * text or nothing. */
#include <hd/expression.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool look_up(void *context, const char *name, struct hd_expression_value *ret_value)
{
    (void)context;
    switch (strlen(name) % 3) {
    case 0:
        return false;
    case 1:
        ret_value->number = (double)name[0];
        return true;
    default:
        ret_value->text = name;
        return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[HD_EXPRESSION_BYTES_MAX + 2];
    struct hd_expression *expression;
    struct hd_err err = {0};
    double number;
    if (size >= sizeof(text))
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (hd_expression_parse(text, &expression, &err) != HD_OK) {
        hd_assert(strncmp(err.text, "column ", 7) == 0 || strlen(text) > HD_EXPRESSION_BYTES_MAX);
        return 0;
    }
    for (size_t i = 0; hd_expression_name(expression, i) != NULL; i++)
        hd_assert(strlen(hd_expression_name(expression, i)) < HD_EXPRESSION_NAME_MAX);
    if (hd_expression_evaluate(expression, look_up, NULL, &number, &err) != HD_OK)
        hd_assert(err.text[0] != '\0');
    hd_expression_free(expression);
    return 0;
}
