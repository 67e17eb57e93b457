/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: one table a program: parsing and --help read it. */
#include "os_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HELP_BYTES_MAX 65536
#define HELP_COLUMN 30
#define OPTIONS_MAX 64
#define OPTION_NAME_MAX 64

/* ---- names -------------------------------------------------------------------------------- */

/* '_' and '-' are the same, so that old spellings work. */
static bool same_name(const char *a, size_t a_size, const char *b, size_t b_size)
{
    if (a_size != b_size)
        return false;
    for (size_t i = 0; i < a_size; i++)
        if (a[i] != b[i] && !((a[i] == '_' || a[i] == '-') && (b[i] == '_' || b[i] == '-')))
            return false;
    return true;
}

static bool option_has_name(const struct hd_option *option, const char *name, size_t size)
{
    if (same_name(option->name, strlen(option->name), name, size))
        return true;
    for (const char *at = option->aliases; at != NULL && *at != '\0';) {
        size_t alias_size = strcspn(at, ",");
        if (same_name(at, alias_size, name, size))
            return true;
        at += alias_size;
        at += strspn(at, ", ");
    }
    return false;
}

static const struct hd_option *find_option(const struct hd_program *program, const char *name,
                                           size_t size)
{
    for (size_t i = 0; i < program->option_count; i++)
        if (option_has_name(&program->options[i], name, size))
            return &program->options[i];
    return NULL;
}

static enum hd_code fail_unknown(const struct hd_program *program, const char *name, size_t size,
                                 struct hd_err *err)
{
    char word[OPTION_NAME_MAX];
    hd_format(word, sizeof(word), "%.*s", (int)(size < sizeof(word) ? size : sizeof(word) - 1),
              name);
    const char *names[OPTIONS_MAX + 2];
    size_t count = 0;
    for (size_t i = 0; i < program->option_count; i++)
        names[count++] = program->options[i].name;
    names[count++] = "help";
    names[count++] = "version";
    const char *nearest = hd_nearest(word, names, count);
    if (nearest != NULL)
        return hd_fail(err, HD_E_INVALID, "unknown option --%s; did you mean --%s?", word, nearest);
    return hd_fail(err, HD_E_INVALID, "unknown option --%s; see --help", word);
}

/* ---- values ------------------------------------------------------------------------------- */

static enum hd_code set_int(const struct hd_option *option, const char *text, struct hd_err *err)
{
    int64_t number;
    if (!hd_parse_i64(text, &number))
        return hd_fail(err, HD_E_INVALID, "--%s: \"%s\" is not a whole number", option->name, text);
    bool bounded = option->int_min != 0 || option->int_max != 0;
    if (bounded && (number < option->int_min || number > option->int_max))
        return hd_fail(err, HD_E_INVALID, "--%s: %lld is not within %lld..%lld", option->name,
                       (long long)number, (long long)option->int_min, (long long)option->int_max);
    *(int64_t *)option->value = number;
    return HD_OK;
}

static enum hd_code set_double(const struct hd_option *option, const char *text, struct hd_err *err)
{
    double number;
    if (!hd_parse_double(text, &number) || isnan(number)) /* NaN stands for "not given" */
        return hd_fail(err, HD_E_INVALID, "--%s: \"%s\" is not a number", option->name, text);
    *(double *)option->value = number;
    return HD_OK;
}

static enum hd_code set_duration(const struct hd_option *option, const char *text,
                                 struct hd_err *err)
{
    struct hd_err why;
    enum hd_code code = hd_parse_duration(text, option->value, &why);
    return code == HD_OK ? HD_OK : hd_fail(err, code, "--%s: %s", option->name, why.text);
}

static enum hd_code add_to_list(const struct hd_option *option, const char *text,
                                struct hd_err *err)
{
    struct hd_text_list *list = option->value;
    if (list->count == HD_OPTION_LIST_MAX)
        return hd_fail(err, HD_E_LIMIT, "--%s: given more than %d times", option->name,
                       HD_OPTION_LIST_MAX);
    list->items[list->count++] = text;
    return HD_OK;
}

static enum hd_code set_value(const struct hd_option *option, const char *text, struct hd_err *err)
{
    switch (option->kind) {
    case HD_OPTION_FLAG:
        *(bool *)option->value = true;
        return HD_OK;
    case HD_OPTION_TEXT:
        *(const char **)option->value = text;
        return HD_OK;
    case HD_OPTION_INT:
        return set_int(option, text, err);
    case HD_OPTION_DOUBLE:
        return set_double(option, text, err);
    case HD_OPTION_DURATION:
        return set_duration(option, text, err);
    case HD_OPTION_LIST:
        return add_to_list(option, text, err);
    }
    return HD_E_INVALID;
}

/* ---- parsing ------------------------------------------------------------------------------ */

struct parse {
    const struct hd_program *program;
    int argc;
    char **argv;
    int at;
    const char **positionals;
    size_t positional_count;
    bool help;
    bool version;
};

static enum hd_code parse_option(struct parse *parse, struct hd_err *err)
{
    const char *name = parse->argv[parse->at] + 2;
    size_t size = strcspn(name, "=");
    const char *text = name[size] == '=' ? name + size + 1 : NULL;
    const struct hd_option *option = find_option(parse->program, name, size);
    if (option == NULL)
        return fail_unknown(parse->program, name, size, err);
    if (option->kind == HD_OPTION_FLAG && text != NULL)
        return hd_fail(err, HD_E_INVALID, "--%s takes no value", option->name);
    if (option->kind != HD_OPTION_FLAG && text == NULL) {
        const char *next = parse->at + 1 < parse->argc ? parse->argv[parse->at + 1] : NULL;
        if (next == NULL || strncmp(next, "--", 2) == 0)
            return hd_fail(err, HD_E_INVALID, "--%s needs a value: --%s=%s", option->name,
                           option->name, option->hint != NULL ? option->hint : "VALUE");
        text = next;
        parse->at++;
    }
    enum hd_code code = set_value(option, text, err);
    if (code == HD_OK && option->given != NULL)
        *option->given = true;
    return code;
}

static enum hd_code add_positional(struct parse *parse, const char *text, struct hd_err *err)
{
    if (parse->positional_count == parse->program->positional_max)
        return hd_fail(err, HD_E_INVALID, "unexpected argument \"%s\"; usage: %s", text,
                       parse->program->usage);
    parse->positionals[parse->positional_count++] = text;
    return HD_OK;
}

static enum hd_code parse_arguments(struct parse *parse, struct hd_err *err)
{
    bool only_positionals = false;
    for (parse->at = 1; parse->at < parse->argc; parse->at++) {
        const char *text = parse->argv[parse->at];
        enum hd_code code = HD_OK;
        if (only_positionals || text[0] != '-' || text[1] == '\0')
            code = add_positional(parse, text, err);
        else if (hd_streq(text, "--"))
            only_positionals = true;
        else if (hd_streq(text, "--help") || hd_streq(text, "-h"))
            parse->help = true;
        else if (hd_streq(text, "--version"))
            parse->version = true;
        else if (text[1] == '-')
            code = parse_option(parse, err);
        else
            code = hd_fail(err, HD_E_INVALID,
                           "unknown option %s: options have long names, see "
                           "--help",
                           text);
        /* --help and --version win over what comes after them, and over nothing before. */
        if (code != HD_OK || parse->help || parse->version)
            return code;
    }
    if (parse->positional_count < parse->program->positional_min)
        return hd_fail(err, HD_E_INVALID, "an argument is missing; usage: %s",
                       parse->program->usage);
    return HD_OK;
}

enum hd_parse_answer hd_options_parse(const struct hd_program *program, int argc, char **argv,
                                      const char **ret_positionals, size_t *ret_positional_count)
{
    hd_assert(program->option_count <= OPTIONS_MAX);
    struct parse parse = {
        .program = program, .argc = argc, .argv = argv, .positionals = ret_positionals};
    struct hd_err err;
    if (parse_arguments(&parse, &err) != HD_OK) {
        fprintf(stderr, "%s: %s\n", program->name, err.text);
        return HD_PARSE_EXIT_USAGE;
    }
    if (parse.version) {
        printf("%s %s\n", program->name, HD_VERSION);
        return HD_PARSE_EXIT_OK;
    }
    if (parse.help) {
        struct hd_buf text;
        hd_buf_init(&text, HELP_BYTES_MAX);
        hd_options_help(program, &text);
        fputs(hd_buf_text(&text), stdout);
        hd_buf_release(&text);
        return HD_PARSE_EXIT_OK;
    }
    if (ret_positional_count != NULL)
        *ret_positional_count = parse.positional_count;
    return HD_PARSE_GO;
}

/* ---- help --------------------------------------------------------------------------------- */

/* Help that does not fit is cut: a help text is not worth an error path in every program. */
static void help_line(struct hd_buf *out, const char *left, const char *right)
{
    if (strlen(left) < HELP_COLUMN - 2) /* at least one blank between the columns */
        (void)!hd_buf_printf(out, NULL, "  %-*s%s\n", HELP_COLUMN - 2, left, right);
    else
        (void)!hd_buf_printf(out, NULL, "  %s\n%*s%s\n", left, HELP_COLUMN, "", right);
}

static void help_default(const struct hd_option *option, char *text, size_t size)
{
    char number[HD_DOUBLE_TEXT_SIZE];
    text[0] = '\0';
    switch (option->kind) {
    case HD_OPTION_TEXT:
        if (*(const char **)option->value != NULL && **(const char **)option->value != '\0')
            hd_format(text, size, " [%s]", *(const char **)option->value);
        break;
    case HD_OPTION_INT:
        if (*(int64_t *)option->value != 0)
            hd_format(text, size, " [%lld]", (long long)*(int64_t *)option->value);
        break;
    case HD_OPTION_DOUBLE:
        /* NaN stands for "not given". */
        hd_format_double(number, sizeof(number), *(double *)option->value);
        if (!hd_streq(number, "NaN") && !hd_streq(number, "0"))
            hd_format(text, size, " [%s]", number);
        break;
    case HD_OPTION_DURATION:
        if (*(int64_t *)option->value > 0 && *(int64_t *)option->value % 1000 == 0)
            hd_format(text, size, " [%llds]", (long long)(*(int64_t *)option->value / 1000));
        else if (*(int64_t *)option->value > 0)
            hd_format(text, size, " [%lldms]", (long long)*(int64_t *)option->value);
        break;
    case HD_OPTION_FLAG:
    case HD_OPTION_LIST:
        break;
    }
}

void hd_options_help(const struct hd_program *program, struct hd_buf *out)
{
    (void)!hd_buf_printf(out, NULL, "%s: %s\nusage: %s\n\n", program->name, program->summary,
                         program->usage);
    for (size_t i = 0; i < program->option_count; i++) {
        const struct hd_option *option = &program->options[i];
        char left[128], right[512], standard[128];
        if (option->kind == HD_OPTION_FLAG)
            hd_format(left, sizeof(left), "--%s", option->name);
        else
            hd_format(left, sizeof(left), "--%s %s", option->name,
                      option->hint != NULL ? option->hint : "VALUE");
        help_default(option, standard, sizeof(standard));
        hd_format(right, sizeof(right), "%s%s", option->help, standard);
        help_line(out, left, right);
    }
    help_line(out, "--help", "show this text");
    help_line(out, "--version", "show the version");
    if (program->epilogue != NULL)
        (void)!hd_buf_printf(out, NULL, "\n%s\n", program->epilogue);
}
