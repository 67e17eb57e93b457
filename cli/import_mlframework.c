/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_mlframework.c: the parameters.yml of mlframework, whose master runs a command with every
 * combination of its values, the first param slowest.
 *
 * A text or a number is one value, a list all of its values, a tuple [start, end) or
 * [start, end, step] the values of that range, true an option without a value, false no option.
 */
#include "import.h"

#include <hd/experiment.h>
#include <hd/os.h>

#include <math.h>
#include <string.h>

#define BREAKS_WORDS " \t\r\n\"'\\{}" /* of a command, or means something in it */

/* A person may write a map with this very key: what is no list there is no tuple. */
static const struct hd_value *tuple_of(const struct hd_value *value)
{
    return value->kind == HD_VALUE_OBJECT && value->as.object.count == 1 &&
                   hd_streq(value->as.object.keys[0], IMPORT_TUPLE) &&
                   value->as.object.items[0]->kind == HD_VALUE_ARRAY
               ? value->as.object.items[0]
               : NULL;
}

/* ---- ranges --------------------------------------------------------------------------------- */

struct range {
    double start, step;
    int64_t count;
    bool whole;
};

static enum hd_code read_range(const struct importer *importer, const char *name,
                               const struct hd_value *tuple, struct range *ret)
{
    size_t count = tuple->as.array.count;
    double numbers[3] = {0, 0, 1};
    *ret = (struct range){.whole = true};
    if (count < 2 || count > 3)
        return import_fail(importer, tuple, name, "a tuple is [start, end] or [start, end, step]");
    for (size_t i = 0; i < count; i++) {
        const struct hd_value *item = tuple->as.array.items[i];
        if (!hd_value_is_number(item) || !isfinite(hd_value_number(item)))
            return import_fail(importer, item, name, "a tuple holds finite numbers");
        numbers[i] = hd_value_number(item);
        ret->whole = ret->whole && item->kind == HD_VALUE_INT && fabs(numbers[i]) < 1e15;
    }
    ret->start = numbers[0];
    ret->step = numbers[2];
    double steps = ret->step != 0 ? ceil((numbers[1] - numbers[0]) / ret->step - 1e-9) : 0;
    if (!(steps >= 1))
        return import_fail(importer, tuple, name,
                           "the range is empty: start lies before end in the direction of step");
    if (steps > IMPORT_VALUES_MAX)
        return import_fail(importer, tuple, name, "more than 10000 values");
    ret->count = (int64_t)steps;
    return HD_OK;
}

/* Twelve digits, as it was printed for the target. */
static double value_at(const struct range *range, int64_t index)
{
    char text[64];
    double value = range->start + (double)index * range->step, printed;
    return hd_format(text, sizeof(text), "%.12g", value) && hd_parse_double(text, &printed)
               ? printed
               : value;
}

static struct hd_value *new_number(const struct range *range, double value)
{
    return range->whole ? hd_value_new_int((int64_t)value) : hd_value_new_double(value);
}

static enum hd_code list_range(const struct importer *importer, const char *name,
                               const struct range *range, struct hd_value **ret_definition)
{
    struct hd_value *list = hd_value_new_array();
    enum hd_code code = list != NULL ? HD_OK : import_nomem(importer);
    for (int64_t i = 0; i < range->count && code == HD_OK; i++)
        if (hd_value_append(list, new_number(range, value_at(range, i))) != HD_OK)
            code = import_nomem(importer);
    if (code == HD_OK)
        code = import_choices(importer, name, list, ret_definition);
    hd_value_free(list);
    return code;
}

/* Whole ranges as they are; others value by value, so that they are what was asked for to the last
 * digit. */
static enum hd_code define_range(const struct importer *importer, const char *name,
                                 const struct hd_value *tuple, struct hd_value **ret_definition)
{
    struct range range;
    enum hd_code code = read_range(importer, name, tuple, &range);
    if (code != HD_OK)
        return code;
    if (!range.whole || range.step < 0 || range.count == 1)
        return list_range(importer, name, &range, ret_definition);
    struct hd_value *map = hd_value_new_object();
    if (map == NULL)
        return import_nomem(importer);
    code = import_put(importer, map, "type", hd_value_new_string("int"));
    if (code == HD_OK)
        code = import_put(importer, map, "low", new_number(&range, range.start));
    if (code == HD_OK)
        code = import_put(importer, map, "high",
                          new_number(&range, value_at(&range, range.count - 1)));
    if (code == HD_OK && range.step != 1)
        code = import_put(importer, map, "step", new_number(&range, range.step));
    if (code != HD_OK)
        hd_value_free(map);
    else
        *ret_definition = map;
    return code;
}

/* ---- params and options --------------------------------------------------------------------- */

/* Adds a param to the space, or an option to the command. */
static enum hd_code take(const struct importer *importer, const char *name,
                         const struct hd_value *value, struct hd_value *space,
                         struct hd_buf *command)
{
    const struct hd_value *tuple = tuple_of(value);
    struct hd_value *definition = NULL;
    enum hd_code code = HD_OK;
    if (value->kind == HD_VALUE_BOOL && strpbrk(name, BREAKS_WORDS) != NULL)
        return import_fail(importer, value, name, "the name of an option is one word");
    if (value->kind == HD_VALUE_BOOL)
        return value->as.boolean ? hd_buf_printf(command, importer->err, " --%s", name) : HD_OK;
    if (value->kind == HD_VALUE_NULL)
        return import_fail(importer, value, name, "null: mlframework left it out; so should you");
    if (tuple != NULL)
        code = define_range(importer, name, tuple, &definition);
    else if (value->kind == HD_VALUE_OBJECT)
        code = import_fail(importer, value, name, "a map: mlframework left it out; so should you");
    else if (value->kind == HD_VALUE_ARRAY)
        code = import_choices(importer, name, value, &definition);
    else
        code = hd_value_copy(value, &definition, importer->err);
    return code == HD_OK ? import_put(importer, space, name, definition) : code;
}

static enum hd_code take_all(const struct importer *importer, const struct hd_value *document,
                             struct hd_value *space, struct hd_buf *command)
{
    enum hd_code code = HD_OK;
    if (document->kind != HD_VALUE_OBJECT || document->as.object.count == 0)
        return import_fail(importer, document, "parameters", "no map of params");
    for (size_t i = 0; i < document->as.object.count && code == HD_OK; i++)
        code = take(importer, document->as.object.keys[i], document->as.object.items[i], space,
                    command);
    return code;
}

static enum hd_code fill_target(const struct importer *importer, const struct hd_buf *command,
                                struct hd_value *target)
{
    const struct import_options *options = importer->options;
    enum hd_code code = HD_OK;
    if (options->image != NULL)
        code = import_put(importer, target, "image", hd_value_new_string(options->image));
    if (code == HD_OK && command->size > 0)
        code = import_put(importer, target, "command", hd_value_new_string(hd_buf_text(command)));
    return code == HD_OK ? import_put(importer, target, "args", hd_value_new_string("cli")) : code;
}

static enum hd_code build(const struct importer *importer, const struct hd_value *document,
                          struct hd_buf *command)
{
    char name[HD_ID_MAX + 1];
    const struct import_options *options = importer->options;
    import_name(options, NULL, name, sizeof(name));
    struct hd_value *target = hd_value_new_object(), *space = hd_value_new_object();
    enum hd_code code = target != NULL && space != NULL ? HD_OK : import_nomem(importer);
    if (code == HD_OK && options->command != NULL)
        code = hd_buf_puts(command, options->command, importer->err);
    if (code == HD_OK)
        code = take_all(importer, document, space, command);
    if (code == HD_OK)
        code = fill_target(importer, command, target);
    if (code == HD_OK)
        return import_frame(importer, name, target, space);
    hd_value_free(target);
    hd_value_free(space);
    return code;
}

enum hd_code import_mlframework(const struct hd_value *document,
                                const struct import_options *options, struct import *ret_import,
                                struct hd_err *err)
{
    struct import import = {.experiment = hd_value_new_object()};
    struct importer importer = {.options = options, .import = &import, .err = err};
    struct hd_buf command;
    if (options->image == NULL && options->command == NULL) {
        hd_value_free(import.experiment);
        return hd_fail(err, HD_E_INVALID,
                       "%s: it does not say what is run; add --command 'python train.py', or "
                       "--image NAME",
                       options->file);
    }
    hd_buf_init(&import.notes, IMPORT_NOTES_MAX);
    hd_buf_init(&command, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = import.experiment != NULL ? HD_OK : import_nomem(&importer);
    if (code == HD_OK)
        code = build(&importer, document, &command);
    if (code == HD_OK)
        code = hd_buf_puts(&import.notes,
                           options->optimize
                               ? "Imported from mlframework.\nAdd `objective: loss`, and let the "
                                 "program write loss.json.\n"
                               : "Imported from mlframework.\nEvery combination once, the first "
                                 "param slowest; what the program prints is in `hd logs JOB`.\n",
                           err);
    hd_buf_release(&command);
    if (code != HD_OK)
        import_release(&import);
    else
        *ret_import = import;
    return code;
}
