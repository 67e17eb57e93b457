/* SPDX-License-Identifier: Apache-2.0 */
/* import_space.c: what the imports share: params of lists, the frame of an experiment, its text. */
#include "import.h"

#include <hd/os.h>

#include <ctype.h>
#include <math.h>
#include <string.h>

enum hd_code import_fail(const struct importer *importer, const struct hd_value *at,
                         const char *name, const char *what)
{
    return hd_fail(importer->err, HD_E_INVALID, "%s:%d: %.80s: %s", importer->options->file,
                   at->line, name, what);
}

enum hd_code import_nomem(const struct importer *importer)
{
    return hd_fail(importer->err, HD_E_NOMEM, "%s: no memory to import it",
                   importer->options->file);
}

enum hd_code import_put(const struct importer *importer, struct hd_value *object, const char *key,
                        struct hd_value *item)
{
    return hd_value_set(object, key, item) == HD_OK ? HD_OK : import_nomem(importer);
}

/* ---- params --------------------------------------------------------------------------------- */

static bool is_scalar(const struct hd_value *value)
{
    return hd_value_is_number(value) || value->kind == HD_VALUE_STRING ||
           value->kind == HD_VALUE_BOOL;
}

static bool holds(const struct hd_value *list, const struct hd_value *item)
{
    for (size_t i = 0; i < list->as.array.count; i++)
        if (hd_value_equal(list->as.array.items[i], item))
            return true;
    return false;
}

/* The values once each, in their order. */
static enum hd_code once_each(const struct importer *importer, const char *name,
                              const struct hd_value *list, struct hd_value *once)
{
    for (size_t i = 0; i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        struct hd_value *copy = NULL;
        if (!is_scalar(item))
            return import_fail(importer, item->line > 0 ? item : list, name,
                               "a value of it is a list, a map or null: a param has texts, "
                               "numbers and booleans");
        if (hd_value_is_number(item) && !isfinite(hd_value_number(item)))
            return import_fail(importer, item->line > 0 ? item : list, name,
                               "a value of it is not finite");
        if (holds(once, item))
            continue;
        enum hd_code code = hd_value_copy(item, &copy, importer->err);
        if (code == HD_OK && hd_value_append(once, copy) != HD_OK)
            code = import_nomem(importer);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

/* Numbers that rise or that fall all the way. */
static bool is_ordered(const struct hd_value *list)
{
    double direction = 0;
    for (size_t i = 0; i < list->as.array.count; i++) {
        if (!hd_value_is_number(list->as.array.items[i]))
            return false;
        if (i == 0)
            continue;
        double step =
            hd_value_number(list->as.array.items[i]) - hd_value_number(list->as.array.items[i - 1]);
        if (step == 0 || step * direction < 0)
            return false;
        direction = step;
    }
    return true;
}

/* Takes the list. */
static enum hd_code define_choices(const struct importer *importer, struct hd_value *list,
                                   struct hd_value **ret_definition)
{
    const char *type = is_ordered(list) ? "ordinal" : "categorical";
    struct hd_value *definition = hd_value_new_object();
    if (definition == NULL ||
        hd_value_set(definition, "type", hd_value_new_string(type)) != HD_OK) {
        hd_value_free(list);
        hd_value_free(definition);
        return import_nomem(importer);
    }
    enum hd_code code = import_put(importer, definition, "choices", list);
    if (code != HD_OK)
        hd_value_free(definition);
    else
        *ret_definition = definition;
    return code;
}

enum hd_code import_choices(const struct importer *importer, const char *name,
                            const struct hd_value *list, struct hd_value **ret_definition)
{
    if (list->as.array.count == 0)
        return import_fail(importer, list, name, "the list is empty: it leaves no combination");
    if (list->as.array.count > IMPORT_VALUES_MAX)
        return import_fail(importer, list, name, "more than 10000 values");
    struct hd_value *once = hd_value_new_array();
    if (once == NULL)
        return import_nomem(importer);
    enum hd_code code = once_each(importer, name, list, once);
    if (code == HD_OK && once->as.array.count == 1)
        code = hd_value_copy(once->as.array.items[0], ret_definition, importer->err);
    else if (code == HD_OK)
        return define_choices(importer, once, ret_definition);
    hd_value_free(once);
    return code;
}

/* ---- the frame ------------------------------------------------------------------------------ */

void import_name(const struct import_options *options, const char *own, char *ret_name, size_t size)
{
    const char *slash = strrchr(options->file, '/');
    const char *file = slash != NULL ? slash + 1 : options->file;
    const char *text = options->name != NULL ? options->name : own != NULL ? own : file;
    const char *end =
        text == file && strrchr(file, '.') != NULL ? strrchr(file, '.') : text + strlen(text);
    size_t count = 0;
    for (; text < end && count + 1 < size && count < HD_ID_MAX; text++) {
        bool fits = isalnum((unsigned char)*text) || *text == '_' ||
                    (count > 0 && (*text == '.' || *text == '-'));
        if (fits || (count > 0 && ret_name[count - 1] != '-'))
            ret_name[count++] = fits ? *text : '-';
    }
    ret_name[count] = '\0';
    if (count == 0)
        (void)hd_copy_text(ret_name, size, "experiment");
}

static struct hd_value *grid_in_order(void)
{
    struct hd_value *sampler = hd_value_new_object();
    if (sampler != NULL && (hd_value_set(sampler, "name", hd_value_new_string("grid")) != HD_OK ||
                            hd_value_set(sampler, "order", hd_value_new_string("file")) != HD_OK)) {
        hd_value_free(sampler);
        sampler = NULL;
    }
    return sampler;
}

/* Takes target and space. */
enum hd_code import_frame(const struct importer *importer, const char *name,
                          struct hd_value *target, struct hd_value *space)
{
    struct hd_value *top = importer->import->experiment;
    enum hd_code code = import_put(importer, top, "name", hd_value_new_string(name));
    enum hd_code took = import_put(importer, top, "target", target);
    code = code == HD_OK ? took : code;
    took = import_put(importer, top, "space", space);
    code = code == HD_OK ? took : code;
    if (code == HD_OK && !importer->options->optimize) {
        code = import_put(importer, top, "sampler", grid_in_order());
        if (code == HD_OK)
            code = import_put(importer, top, "iteration_generator", hd_value_new_string("full"));
    }
    return code;
}

#define KEY_BYTES_MAX 1000 /* of one line, which libyaml reads as a key */

/* ---- the text ------------------------------------------------------------------------------- */

static enum hd_code write_key(const char *key, struct hd_buf *out, struct hd_err *err)
{
    bool plain = isalpha((unsigned char)key[0]);
    for (const char *at = key; *at != '\0' && plain; at++)
        plain = isalnum((unsigned char)*at) || *at == '_';
    /* What a reader of YAML takes for a word of its own is quoted. */
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};
    for (size_t i = 0; i < HD_COUNT(words) && plain; i++)
        plain = !hd_streq(key, words[i]);
    size_t before = out->size;
    enum hd_code code = plain ? hd_buf_puts(out, key, err) : hd_json_write_string(key, out, err);
    if (code == HD_OK && out->size - before > KEY_BYTES_MAX)
        code =
            hd_fail(err, HD_E_LIMIT, "the name %.60s... is longer than a key of YAML may be", key);
    return code;
}

static enum hd_code write_flow(const struct hd_value *value, struct hd_buf *out, struct hd_err *err)
{
    bool list = value->kind == HD_VALUE_ARRAY;
    if (!list && value->kind != HD_VALUE_OBJECT)
        return hd_json_write(value, HD_JSON_COMPACT, out, err);
    size_t count = list ? value->as.array.count : value->as.object.count;
    enum hd_code code = hd_buf_puts(out, list ? "[" : "{", err);
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        if (i > 0)
            code = hd_buf_puts(out, ", ", err);
        if (code == HD_OK && !list)
            code = write_key(value->as.object.keys[i], out, err);
        if (code == HD_OK && !list)
            code = hd_buf_puts(out, ": ", err);
        if (code == HD_OK)
            code =
                write_flow(list ? value->as.array.items[i] : value->as.object.items[i], out, err);
    }
    return code == HD_OK ? hd_buf_puts(out, list ? "]" : "}", err) : code;
}

/* The members of the top and one level below stand on lines of their own. */
static enum hd_code write_members(const struct hd_value *object, bool top, struct hd_buf *out,
                                  struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < object->as.object.count && code == HD_OK; i++) {
        const struct hd_value *item = object->as.object.items[i];
        bool block = top && item->kind == HD_VALUE_OBJECT && item->as.object.count > 0;
        code = hd_buf_puts(out, top ? "" : "  ", err);
        if (code == HD_OK)
            code = write_key(object->as.object.keys[i], out, err);
        if (code == HD_OK)
            code = hd_buf_puts(out, block ? ":\n" : ": ", err);
        if (code == HD_OK && block)
            code = write_members(item, false, out, err);
        else if (code == HD_OK)
            code = write_flow(item, out, err);
        if (code == HD_OK && !block)
            code = hd_buf_puts(out, "\n", err);
    }
    return code;
}

/* A comment: what the old file's names may hold and YAML may not becomes a question mark. */
static enum hd_code write_note(const char *text, size_t size, struct hd_buf *out,
                               struct hd_err *err)
{
    enum hd_code code = hd_buf_puts(out, "# ", err);
    for (size_t i = 0; code == HD_OK && i < size; i++) {
        bool plain = (text[i] >= ' ' && text[i] <= '~') || text[i] == '\t';
        code = hd_buf_append(out, plain ? &text[i] : "?", 1, err);
    }
    return code == HD_OK ? hd_buf_puts(out, "\n", err) : code;
}

enum hd_code import_write(const struct import *import, struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    const char *line = hd_buf_text(&import->notes);
    while (*line != '\0' && code == HD_OK) {
        size_t size = strcspn(line, "\n");
        code = write_note(line, size, out, err);
        line += size + (line[size] == '\n');
    }
    return code == HD_OK ? write_members(import->experiment, true, out, err) : code;
}

void import_release(struct import *import)
{
    hd_value_free(import->experiment);
    hd_buf_release(&import->notes);
    *import = (struct import){0};
}
