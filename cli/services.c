/* SPDX-License-Identifier: Apache-2.0 */
/* hd services: containers that belong together, up and down, from one file. */
#include "common/cli.h"

#include "commands.h"
#include "services_host.h"

#include <hd/jsonnet.h>
#include <hd/services.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static bool is_interrupted(void *context)
{
    (void)context;
    return interrupted != 0;
}

static void say(void *context, const char *name, const char *text)
{
    (void)context;
    printf("%s: %s\n", name, text);
    fflush(stdout);
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Every text "UUID" of a file that is not jsonnet, likewise. */
static enum hd_code replace_uuid(struct hd_value *value, const char *uuid, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    if (value->kind == HD_VALUE_STRING && hd_streq(value->as.string, "UUID")) {
        char *copy = hd_strdup(uuid);
        if (copy == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for a file");
        hd_free(value->as.string);
        value->as.string = copy;
    }
    if (value->kind == HD_VALUE_ARRAY)
        for (size_t i = 0; code == HD_OK && i < value->as.array.count; i++)
            code = replace_uuid(value->as.array.items[i], uuid, err);
    if (value->kind == HD_VALUE_OBJECT)
        for (size_t i = 0; code == HD_OK && i < value->as.object.count; i++)
            code = replace_uuid(value->as.object.items[i], uuid, err);
    return code;
}

static enum hd_code read_value(const char *file, const char *uuid, struct hd_value **ret_value,
                               struct hd_err *err)
{
    if (hd_jsonnet_is_named(file))
        return hd_jsonnet_read(file, uuid, ret_value, err);
    struct hd_buf text;
    hd_buf_init(&text, HD_JSONNET_SOURCE_MAX);
    enum hd_code code = hd_file_read(file, HD_JSONNET_SOURCE_MAX, false, &text, err);
    if (code == HD_OK)
        code = hd_yaml_parse(hd_buf_text(&text), text.size, file, &hd_value_limits_file, ret_value,
                             err);
    hd_buf_release(&text);
    return code == HD_OK ? replace_uuid(*ret_value, uuid, err) : code;
}

static enum hd_code read_plan(const char *file, const char *absolute, const char *uuid,
                              struct hd_services **ret_plan, struct hd_err *err)
{
    struct hd_value *value = NULL;
    char directory[HD_SERVICES_PATH_MAX];
    if (!hd_copy_text(directory, sizeof(directory), absolute))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", file);
    char *slash = strrchr(directory, '/');
    slash[slash == directory ? 1 : 0] = '\0';
    enum hd_code code = read_value(file, uuid, &value, err);
    if (code == HD_OK)
        code = hd_services_parse(value, file, directory, ret_plan, err);
    hd_value_free(value);
    return code;
}

/* ---- what is done ---------------------------------------------------------------------------- */

struct order {
    const char *action, *file, *uuid;
    int64_t parallel;
    bool json;
};

static enum hd_code up(const struct order *order, struct hd_services_options *options,
                       struct hd_err *err)
{
    char uuid[HD_SERVICES_UUID_SIZE];
    struct hd_services *plan = NULL;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    hd_services_make_uuid(uuid);
    options->uuid = uuid;
    enum hd_code code = read_plan(order->file, options->file, uuid, &plan, err);
    if (code != HD_OK)
        return code;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    code = hd_services_up(plan, options, err);
    if (code == HD_OK)
        printf("%zu service%s up, UUID %s; hd services down %s takes them down\n", plan->count,
               plan->count == 1 ? "" : "s", uuid, order->file);
    hd_services_free(plan);
    return code;
}

static enum hd_code down(const struct order *order, struct hd_services_options *options,
                         struct hd_err *err)
{
    size_t count;
    options->uuid = order->uuid;
    enum hd_code code = hd_services_down(options, &count, err);
    if (code == HD_OK && count == 0)
        return hd_fail(err, HD_E_NOTFOUND, "there are no services of %s; hd services list",
                       order->uuid != NULL ? order->uuid : options->file);
    return code;
}

static enum hd_code print_json(const struct hd_service_found *found, size_t count,
                               struct hd_err *err)
{
    struct hd_value *list = hd_value_new_array();
    enum hd_code code = list != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for a list");
    for (size_t i = 0; code == HD_OK && i < count; i++) {
        struct hd_value *row = hd_value_new_object();
        const char *const members[][2] = {
            {"uuid", found[i].uuid},   {"file", found[i].file},   {"name", found[i].name},
            {"image", found[i].image}, {"state", found[i].state}, {"status", found[i].status},
            {"id", found[i].id},       {"host", found[i].host},
        };
        code = row != NULL ? HD_OK : HD_E_NOMEM;
        for (size_t k = 0; code == HD_OK && k < HD_COUNT(members); k++)
            code = hd_value_set(row, members[k][0], hd_value_new_string(members[k][1]));
        if (code == HD_OK)
            code = hd_value_append(list, row);
        else
            hd_value_free(row);
        if (code != HD_OK)
            (void)hd_fail(err, code, "no memory for a list");
    }
    if (code == HD_OK)
        code = cli_print_json(list, HD_JSON_PRETTY, err);
    hd_value_free(list);
    return code;
}

static enum hd_code list(const struct order *order, const struct hd_services_options *options,
                         struct hd_err *err)
{
    static const char *const titles[] = {"UUID", "SERVICE", "IMAGE", "STATUS", "HOST", "FILE"};
    struct hd_service_found *found = NULL;
    size_t count;
    enum hd_code code = hd_services_list(options, &found, &count, err);
    if (code == HD_OK && order->json) {
        code = print_json(found, count, err);
    } else if (code == HD_OK) {
        struct cli_table *table = cli_table_new(titles, "llllll", HD_COUNT(titles));
        for (size_t i = 0; i < count; i++) {
            const char *const cells[] = {found[i].uuid,   found[i].name, found[i].image,
                                         found[i].status, found[i].host, found[i].file};
            cli_table_row(table, cells);
        }
        cli_table_end(table);
    }
    hd_free(found);
    return code;
}

static enum hd_code act(const struct order *order, struct hd_err *err)
{
    struct hd_services_options options = {.parallel = (uint32_t)order->parallel, .say = say};
    bool is_up = hd_streq(order->action, "up"), is_down = hd_streq(order->action, "down");
    char *file = NULL, host[HD_SERVICES_HOST_MAX];
    if (hd_streq(order->action, "list"))
        return list(order, &options, err);
    if (!is_up && !is_down)
        return hd_fail(err, HD_E_INVALID, "unknown command \"services %s\"; it is up, down or list",
                       order->action);
    if (is_up ? order->file == NULL || order->uuid != NULL
              : (order->file == NULL) == (order->uuid == NULL))
        return hd_fail(err, HD_E_INVALID, "services %s: give a FILE%s", order->action,
                       is_down ? ", or --uuid" : " alone");
    enum hd_code code =
        order->file != NULL ? hd_path_absolute(NULL, order->file, &file, err) : HD_OK;
    options.file = file;
    options.host = services_host(host);
    if (code == HD_OK && is_up)
        options.interrupted = is_interrupted;
    if (code == HD_OK)
        code = is_up ? up(order, &options, err) : down(order, &options, err);
    hd_free(file);
    return code;
}

int cmd_services(int argc, char **argv)
{
    struct order order = {.action = NULL};
    const char *positionals[2] = {NULL};
    size_t count = 0;
    const struct hd_option options[] = {
        {.name = "uuid",
         .kind = HD_OPTION_TEXT,
         .value = &order.uuid,
         .hint = "UUID",
         .help = "down: the set that hd services list shows, instead of FILE"},
        {.name = "parallel",
         .kind = HD_OPTION_INT,
         .value = &order.parallel,
         .hint = "N",
         .help = "services of a layer at the same time (default: 4)",
         .int_min = 1,
         .int_max = HD_SERVICES_PARALLEL_MAX},
        {.name = "json",
         .kind = HD_OPTION_FLAG,
         .value = &order.json,
         .help = "list: print JSON for programs"},
    };
    const struct hd_program program = {
        .name = "hd services",
        .summary = "containers that belong together: start them, take them down",
        .usage = "hd services up FILE | down FILE | list [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 2,
        .epilogue = "FILE is jsonnet (*.jsonnet), YAML or JSON. down needs no file any more: it "
                    "finds by labels what up made.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, positionals, &count);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    order.action = positionals[0];
    order.file = count > 1 ? positionals[1] : NULL;
    struct hd_err err;
    enum hd_code code = act(&order, &err);
    if (code == HD_OK)
        return HD_EXIT_OK;
    int exit_code = cli_fail(&err);
    return interrupted ? HD_EXIT_INTERRUPTED : exit_code;
}
