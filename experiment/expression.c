/* SPDX-License-Identifier: Apache-2.0 */
#include <hd/expression.h>

#include <ctype.h>
#include <math.h>
#include <string.h>

#define ARGUMENTS_MAX 8
#define NO_NODE UINT16_MAX

enum node_kind {
    NODE_NUMBER,
    NODE_TEXT,
    NODE_NAME,
    NODE_CALL,
    NODE_NEGATE,
    NODE_NOT,
    NODE_BINARY,
    NODE_AND,
    NODE_OR,
    NODE_CHOICE,
};

enum operation {
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE,
    REMAINDER,
    POWER,
    LESS,
    AT_MOST,
    MORE,
    AT_LEAST,
    SAME,
    OTHER
};

struct node {
    enum node_kind kind;
    uint8_t which; /* the operation or the function */
    uint8_t child_count;
    uint16_t column;
    uint16_t children[ARGUMENTS_MAX];
    double number;
    uint32_t text; /* where it stands in the texts */
};

struct hd_expression {
    struct node nodes[HD_EXPRESSION_NODES_MAX];
    size_t node_count;
    uint16_t root;
    char texts[2 * HD_EXPRESSION_BYTES_MAX]; /* names and texts, each with its NUL */
    size_t texts_size;
};

struct parser {
    const char *start, *at;
    struct hd_expression *out;
    struct hd_err *err;
    enum hd_code code;
    int depth;
};

/* ---- functions ------------------------------------------------------------------------------ */

static double least(const double *x, size_t count)
{
    double best = x[0];
    for (size_t i = 1; i < count; i++)
        best = x[i] < best || isnan(x[i]) ? x[i] : best;
    return best;
}

static double greatest(const double *x, size_t count)
{
    double best = x[0];
    for (size_t i = 1; i < count; i++)
        best = x[i] > best || isnan(x[i]) ? x[i] : best;
    return best;
}

static const struct {
    const char *name;
    double (*of_one)(double);
    double (*of_many)(const double *, size_t);
} functions[] = {
    {"abs", fabs, NULL},  {"acos", acos, NULL},   {"asin", asin, NULL}, {"atan", atan, NULL},
    {"ceil", ceil, NULL}, {"cos", cos, NULL},     {"exp", exp, NULL},   {"floor", floor, NULL},
    {"log", log, NULL},   {"log10", log10, NULL}, {"log2", log2, NULL}, {"max", NULL, greatest},
    {"min", NULL, least}, {"round", round, NULL}, {"sin", sin, NULL},   {"sqrt", sqrt, NULL},
    {"tan", tan, NULL},   {"tanh", tanh, NULL},
};

/* ---- reading -------------------------------------------------------------------------------- */

static uint16_t column_of(const struct parser *parser, const char *at)
{
    return (uint16_t)(at - parser->start + 1);
}

static uint16_t fail_at(struct parser *parser, const char *at, const char *what)
{
    if (parser->code == HD_OK)
        parser->code =
            hd_fail(parser->err, HD_E_INVALID, "column %u: %s", column_of(parser, at), what);
    return NO_NODE;
}

static void skip_blanks(struct parser *parser)
{
    while (*parser->at == ' ' || *parser->at == '\t' || *parser->at == '\n')
        parser->at++;
}

static bool is_word_byte(char byte)
{
    return isalnum((unsigned char)byte) || byte == '_' || byte == '.';
}

static bool starts_word(char byte)
{
    return isalpha((unsigned char)byte) || byte == '_';
}

/* Takes a sign, or a word that ends there. */
static bool take(struct parser *parser, const char *sign)
{
    size_t size = strlen(sign);
    skip_blanks(parser);
    if (strncmp(parser->at, sign, size) != 0 ||
        (starts_word(sign[0]) && is_word_byte(parser->at[size])))
        return false;
    parser->at += size;
    return true;
}

static uint16_t add_node(struct parser *parser, const char *at, struct node node)
{
    struct hd_expression *out = parser->out;
    if (parser->code != HD_OK)
        return NO_NODE;
    if (out->node_count == HD_EXPRESSION_NODES_MAX) {
        parser->code =
            hd_fail(parser->err, HD_E_LIMIT, "column %u: more than %d numbers, names and signs",
                    column_of(parser, at), HD_EXPRESSION_NODES_MAX);
        return NO_NODE;
    }
    node.column = column_of(parser, at);
    out->nodes[out->node_count] = node;
    return (uint16_t)out->node_count++;
}

static uint16_t add_pair(struct parser *parser, const char *at, enum node_kind kind,
                         enum operation which, uint16_t left, uint16_t right)
{
    return add_node(
        parser, at,
        (struct node){
            .kind = kind, .which = (uint8_t)which, .child_count = 2, .children = {left, right}});
}

static uint16_t add_text(struct parser *parser, const char *at, enum node_kind kind,
                         const char *text, size_t size)
{
    struct hd_expression *out = parser->out;
    if (size >= HD_EXPRESSION_NAME_MAX)
        return fail_at(parser, at, "longer than a name or a text may be");
    hd_assert(out->texts_size + size + 1 <= sizeof(out->texts));
    uint32_t place = (uint32_t)out->texts_size;
    memcpy(out->texts + place, text, size);
    out->texts[place + size] = '\0';
    out->texts_size += size + 1;
    return add_node(parser, at, (struct node){.kind = kind, .text = place});
}

static uint16_t parse_choice(struct parser *parser);

static uint16_t parse_call(struct parser *parser, const char *at, size_t function)
{
    struct node node = {.kind = NODE_CALL, .which = (uint8_t)function};
    do {
        if (node.child_count == ARGUMENTS_MAX)
            return fail_at(parser, at, "a function takes 8 arguments at most");
        node.children[node.child_count++] = parse_choice(parser);
    } while (take(parser, ","));
    if (!take(parser, ")"))
        return fail_at(parser, parser->at, "expected \")\" or \",\"");
    if (functions[function].of_one != NULL && node.child_count != 1)
        return fail_at(parser, at, "this function takes one argument");
    return add_node(parser, at, node);
}

static uint16_t parse_word(struct parser *parser)
{
    const char *at = parser->at;
    while (is_word_byte(*parser->at))
        parser->at++;
    size_t size = (size_t)(parser->at - at);
    skip_blanks(parser);
    if (*parser->at != '(')
        return add_text(parser, at, NODE_NAME, at, size);
    parser->at++;
    for (size_t i = 0; i < HD_COUNT(functions); i++)
        if (strlen(functions[i].name) == size && memcmp(functions[i].name, at, size) == 0)
            return parse_call(parser, at, i);
    return fail_at(parser, at,
                   "no such function; there are abs, acos, asin, atan, ceil, cos, exp, floor, log, "
                   "log10, log2, max, min, round, sin, sqrt, tan, tanh");
}

static uint16_t parse_number(struct parser *parser)
{
    const char *at = parser->at;
    char text[64];
    size_t size = 0;
    double number;
    while (is_word_byte(at[size]) || ((at[size] == '-' || at[size] == '+') && size > 0 &&
                                      (at[size - 1] == 'e' || at[size - 1] == 'E')))
        size++;
    if (size >= sizeof(text))
        return fail_at(parser, at, "longer than a number may be");
    memcpy(text, at, size);
    text[size] = '\0';
    if (!hd_parse_double(text, &number) || !isfinite(number))
        return fail_at(parser, at, "expected a number");
    parser->at += size;
    return add_node(parser, at, (struct node){.kind = NODE_NUMBER, .number = number});
}

static uint16_t parse_value(struct parser *parser)
{
    skip_blanks(parser);
    const char *at = parser->at;
    if (*at == '"' || *at == '\'') {
        const char *end = strchr(at + 1, *at);
        if (end == NULL)
            return fail_at(parser, at, "this text has no end");
        parser->at = end + 1;
        return add_text(parser, at, NODE_TEXT, at + 1, (size_t)(end - at - 1));
    }
    if (isdigit((unsigned char)*at) || *at == '.')
        return parse_number(parser);
    if (starts_word(*at))
        return parse_word(parser);
    if (!take(parser, "("))
        return fail_at(parser, at, "expected a number, a name or \"(\"");
    uint16_t inner = parse_choice(parser);
    if (!take(parser, ")"))
        return fail_at(parser, parser->at, "expected \")\"");
    return inner;
}

static bool go_deeper(struct parser *parser)
{
    if (parser->code == HD_OK && parser->depth++ < HD_EXPRESSION_DEPTH_MAX)
        return true;
    if (parser->code == HD_OK)
        parser->code = hd_fail(parser->err, HD_E_LIMIT, "column %u: nested deeper than %d",
                               column_of(parser, parser->at), HD_EXPRESSION_DEPTH_MAX);
    return false;
}

static uint16_t parse_factor(struct parser *parser)
{
    uint16_t made;
    if (!go_deeper(parser))
        return NO_NODE;
    skip_blanks(parser);
    const char *at = parser->at;
    if (take(parser, "+")) {
        made = parse_factor(parser);
    } else if (take(parser, "-")) {
        uint16_t child = parse_factor(parser);
        made = add_node(parser, at,
                        (struct node){.kind = NODE_NEGATE, .child_count = 1, .children = {child}});
    } else {
        made = parse_value(parser);
        skip_blanks(parser);
        at = parser->at;
        if (take(parser, "^") || take(parser, "**"))
            made = add_pair(parser, at, NODE_BINARY, POWER, made, parse_factor(parser));
    }
    parser->depth--;
    return made;
}

static uint16_t parse_term(struct parser *parser)
{
    uint16_t left = parse_factor(parser);
    for (;;) {
        enum operation which;
        skip_blanks(parser);
        const char *at = parser->at;
        if (take(parser, "*"))
            which = MULTIPLY;
        else if (take(parser, "/"))
            which = DIVIDE;
        else if (take(parser, "%"))
            which = REMAINDER;
        else
            return left;
        left = add_pair(parser, at, NODE_BINARY, which, left, parse_factor(parser));
    }
}

static uint16_t parse_sum(struct parser *parser)
{
    uint16_t left = parse_term(parser);
    for (;;) {
        skip_blanks(parser);
        const char *at = parser->at;
        bool adds = take(parser, "+");
        if (!adds && !take(parser, "-"))
            return left;
        left = add_pair(parser, at, NODE_BINARY, adds ? ADD : SUBTRACT, left, parse_term(parser));
    }
}

static bool is_text(const struct parser *parser, uint16_t node)
{
    return node != NO_NODE && parser->out->nodes[node].kind == NODE_TEXT;
}

static uint16_t parse_compare(struct parser *parser)
{
    static const struct {
        const char *sign;
        enum operation which;
    } signs[] = {{"<=", AT_MOST}, {">=", AT_LEAST}, {"==", SAME},
                 {"!=", OTHER},   {"<", LESS},      {">", MORE}};
    uint16_t left = parse_sum(parser);
    skip_blanks(parser);
    const char *at = parser->at;
    for (size_t i = 0; i < HD_COUNT(signs); i++)
        if (take(parser, signs[i].sign))
            return add_pair(parser, at, NODE_BINARY, signs[i].which, left, parse_sum(parser));
    if (is_text(parser, left))
        return fail_at(parser, at, "a text can only be compared, with \"==\" or \"!=\"");
    return left;
}

static uint16_t parse_not(struct parser *parser)
{
    skip_blanks(parser);
    const char *at = parser->at;
    if (!take(parser, "not"))
        return parse_compare(parser);
    if (!go_deeper(parser))
        return NO_NODE;
    uint16_t child = parse_not(parser);
    parser->depth--;
    return add_node(parser, at,
                    (struct node){.kind = NODE_NOT, .child_count = 1, .children = {child}});
}

static uint16_t parse_and(struct parser *parser)
{
    uint16_t left = parse_not(parser);
    while (take(parser, "and"))
        left = add_pair(parser, parser->at, NODE_AND, SAME, left, parse_not(parser));
    return left;
}

static uint16_t parse_or(struct parser *parser)
{
    uint16_t left = parse_and(parser);
    while (take(parser, "or"))
        left = add_pair(parser, parser->at, NODE_OR, SAME, left, parse_and(parser));
    return left;
}

static uint16_t parse_choice(struct parser *parser)
{
    if (!go_deeper(parser))
        return NO_NODE;
    uint16_t made = parse_or(parser);
    const char *at = parser->at;
    if (take(parser, "?")) {
        uint16_t yes = parse_choice(parser);
        if (!take(parser, ":"))
            return fail_at(parser, parser->at, "expected \":\"");
        uint16_t no = parse_choice(parser);
        made = add_node(
            parser, at,
            (struct node){.kind = NODE_CHOICE, .child_count = 3, .children = {made, yes, no}});
    }
    parser->depth--;
    return made;
}

enum hd_code hd_expression_parse(const char *text, struct hd_expression **ret_expression,
                                 struct hd_err *err)
{
    if (strlen(text) > HD_EXPRESSION_BYTES_MAX)
        return hd_fail(err, HD_E_LIMIT, "longer than %d bytes", HD_EXPRESSION_BYTES_MAX);
    struct parser parser = {.start = text, .at = text, .err = err};
    parser.out = hd_calloc(1, sizeof(*parser.out));
    if (parser.out == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an expression");
    parser.out->root = parse_choice(&parser);
    skip_blanks(&parser);
    if (*parser.at != '\0')
        (void)fail_at(&parser, parser.at, "expected an operator or the end");
    if (parser.code == HD_OK)
        *ret_expression = parser.out;
    else
        hd_free(parser.out);
    return parser.code;
}

void hd_expression_free(struct hd_expression *expression)
{
    hd_free(expression);
}

const char *hd_expression_name(const struct hd_expression *expression, size_t index)
{
    for (size_t i = 0; i < expression->node_count; i++)
        if (expression->nodes[i].kind == NODE_NAME && index-- == 0)
            return expression->texts + expression->nodes[i].text;
    return NULL;
}

/* ---- evaluating ----------------------------------------------------------------------------- */

struct evaluation {
    const struct hd_expression *expression;
    hd_expression_lookup_fn lookup;
    void *context;
    struct hd_err *err;
    enum hd_code code;
};

static double number_at(struct evaluation *evaluation, uint16_t index);

/* A text has to be kept while the other side is looked up. */
struct side {
    double number;
    bool is_text;
    char text[HD_EXPRESSION_NAME_MAX];
};

static bool look_up(struct evaluation *evaluation, const struct node *node,
                    struct hd_expression_value *ret_value)
{
    const char *name = evaluation->expression->texts + node->text;
    *ret_value = (struct hd_expression_value){0};
    if (evaluation->lookup(evaluation->context, name, ret_value))
        return true;
    if (strcmp(name, "pi") == 0)
        ret_value->number = acos(-1);
    else if (strcmp(name, "e") == 0)
        ret_value->number = exp(1);
    else if (evaluation->code == HD_OK)
        evaluation->code = hd_fail(evaluation->err, HD_E_NOTFOUND, "column %u: %s has no value",
                                   node->column, name);
    return evaluation->code == HD_OK;
}

static void take_side(struct evaluation *evaluation, uint16_t index, struct side *side)
{
    const struct node *node = &evaluation->expression->nodes[index];
    struct hd_expression_value value = {0};
    if (node->kind == NODE_TEXT)
        value.text = evaluation->expression->texts + node->text;
    else if (node->kind != NODE_NAME)
        value.number = number_at(evaluation, index);
    else if (!look_up(evaluation, node, &value))
        value.number = NAN;
    side->number = value.number;
    side->is_text = value.text != NULL;
    (void)hd_format(side->text, sizeof(side->text), "%s", value.text != NULL ? value.text : "");
}

static double no_number(struct evaluation *evaluation, const struct node *node)
{
    if (evaluation->code == HD_OK)
        evaluation->code =
            hd_fail(evaluation->err, HD_E_INVALID,
                    "column %u: a text can only be compared, with \"==\" or \"!=\"", node->column);
    return NAN;
}

static double same_or_other(struct evaluation *evaluation, const struct node *node)
{
    struct side left, right;
    take_side(evaluation, node->children[0], &left);
    take_side(evaluation, node->children[1], &right);
    bool same = left.is_text == right.is_text &&
                (left.is_text ? strcmp(left.text, right.text) == 0
                              : !(left.number < right.number || left.number > right.number) &&
                                    !isnan(left.number) && !isnan(right.number));
    return same == (node->which == SAME) ? 1 : 0;
}

static double binary(struct evaluation *evaluation, const struct node *node)
{
    enum operation which = (enum operation)node->which;
    if (which == SAME || which == OTHER)
        return same_or_other(evaluation, node);
    double left = number_at(evaluation, node->children[0]);
    double right = number_at(evaluation, node->children[1]);
    switch (which) {
    case ADD:
        return left + right;
    case SUBTRACT:
        return left - right;
    case MULTIPLY:
        return left * right;
    case DIVIDE:
        return left / right;
    case REMAINDER:
        return fmod(left, right);
    case POWER:
        return pow(left, right);
    case LESS:
        return left < right ? 1 : 0;
    case AT_MOST:
        return left <= right ? 1 : 0;
    case MORE:
        return left > right ? 1 : 0;
    case AT_LEAST:
        return left >= right ? 1 : 0;
    case SAME:
    case OTHER:
        break;
    }
    return NAN;
}

static double call(struct evaluation *evaluation, const struct node *node)
{
    double arguments[ARGUMENTS_MAX];
    for (size_t i = 0; i < node->child_count; i++)
        arguments[i] = number_at(evaluation, node->children[i]);
    return functions[node->which].of_one != NULL
               ? functions[node->which].of_one(arguments[0])
               : functions[node->which].of_many(arguments, node->child_count);
}

static bool is_true(struct evaluation *evaluation, uint16_t index)
{
    double number = number_at(evaluation, index);
    return number < 0 || number > 0;
}

static double number_at(struct evaluation *evaluation, uint16_t index)
{
    const struct node *node = &evaluation->expression->nodes[index];
    struct hd_expression_value value;
    if (evaluation->code != HD_OK)
        return NAN;
    switch (node->kind) {
    case NODE_NUMBER:
        return node->number;
    case NODE_TEXT:
        return no_number(evaluation, node);
    case NODE_NAME:
        if (!look_up(evaluation, node, &value))
            return NAN;
        return value.text == NULL ? value.number : no_number(evaluation, node);
    case NODE_CALL:
        return call(evaluation, node);
    case NODE_NEGATE:
        return -number_at(evaluation, node->children[0]);
    case NODE_NOT:
        return is_true(evaluation, node->children[0]) ? 0 : 1;
    case NODE_BINARY:
        return binary(evaluation, node);
    case NODE_AND:
        return is_true(evaluation, node->children[0]) && is_true(evaluation, node->children[1]);
    case NODE_OR:
        return is_true(evaluation, node->children[0]) || is_true(evaluation, node->children[1]);
    case NODE_CHOICE:
        return number_at(evaluation,
                         node->children[is_true(evaluation, node->children[0]) ? 1 : 2]);
    }
    return NAN;
}

enum hd_code hd_expression_evaluate(const struct hd_expression *expression,
                                    hd_expression_lookup_fn lookup, void *context,
                                    double *ret_number, struct hd_err *err)
{
    struct evaluation evaluation = {
        .expression = expression, .lookup = lookup, .context = context, .err = err};
    double number = number_at(&evaluation, expression->root);
    if (evaluation.code == HD_OK)
        *ret_number = number;
    return evaluation.code;
}
