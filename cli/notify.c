/* SPDX-License-Identifier: Apache-2.0 */
/* hd notify: does a notice reach whom it should; hd notify list: who is told of what. */
#include "common/cli.h"

#include "commands.h"

#include <hd/notice.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TRY_MS_MAX 15000

static enum hd_code make_test(struct hd_notice *notice, struct hd_err *err)
{
    char time[HD_TIME_TEXT_SIZE];
    struct hd_buf data;
    notice->event = HD_NOTIFY_FINISHED;
    notice->wall_ms = hd_clock_wall_ms();
    hd_time_format(time, sizeof(time), notice->wall_ms);
    (void)hd_format(notice->id, sizeof(notice->id), "%016" PRIx64 "-0-test", hd_os_random_u64());
    (void)hd_copy_text(notice->title, sizeof(notice->title), "Hyperdock test");
    (void)hd_copy_text(notice->text, sizeof(notice->text),
                       "This is a test: notices of Hyperdock arrive here.");
    hd_buf_init(&data, HD_NOTICE_DATA_MAX);
    enum hd_code code = hd_buf_printf(
        &data, err, "{\"id\":\"%s\",\"event\":\"test\",\"time\":\"%s\",\"title\":\"%s\"}",
        notice->id, time, notice->title);
    notice->data = data.data; /* the buffer's memory goes along */
    return code;
}

static bool tell(const struct hd_notice_channel *channel, const struct hd_notice *notice)
{
    struct hd_notice_message message = {.url = NULL};
    struct hd_err err;
    enum hd_code code = hd_notice_compose(channel, notice, 0, hd_clock_wall_ms(), &message, &err);
    if (code == HD_OK)
        code = hd_notice_send(channel, &message, TRY_MS_MAX, NULL, &err);
    hd_notice_message_release(&message);
    if (code == HD_OK)
        printf("%s (%s): told\n", channel->name, hd_notice_kind_name(channel->kind));
    else
        printf("%s (%s): not told: %s\n", channel->name, hd_notice_kind_name(channel->kind),
               err.text);
    return code == HD_OK;
}

static enum hd_code test(const struct hd_notice_settings *settings, const char *only,
                         struct hd_err *err)
{
    struct hd_notice notice = {.data = NULL};
    size_t told = 0, asked = 0;
    if (only != NULL && hd_notice_find(settings, only) < 0)
        return hd_fail(err, HD_E_NOTFOUND, "there is no channel \"%s\"; hd notify list shows them",
                       only);
    enum hd_code code = make_test(&notice, err);
    for (size_t i = 0; code == HD_OK && i < settings->channel_count; i++) {
        if (only != NULL && !hd_streq(settings->channels[i].name, only))
            continue;
        asked++;
        told += tell(&settings->channels[i], &notice) ? 1 : 0;
    }
    hd_free(notice.data);
    if (code == HD_OK && told < asked)
        code = hd_fail(err, HD_E_NET, "%zu of %zu channel%s could not be told", asked - told, asked,
                       asked == 1 ? "" : "s");
    return code;
}

static void list(const struct hd_notice_settings *settings)
{
    static const char *const titles[] = {"CHANNEL", "TYPE", "ON"};
    struct cli_table *table = cli_table_new(titles, "lll", HD_COUNT(titles));
    for (size_t i = 0; i < settings->channel_count; i++) {
        const struct hd_notice_channel *channel = &settings->channels[i];
        char on[CLI_CELL_MAX] = "";
        for (int k = 0; k < HD_NOTIFY_EVENT_COUNT; k++) {
            size_t used = strlen(on);
            if ((channel->events & (1u << k)) != 0)
                (void)hd_format(on + used, sizeof(on) - used, "%s%s", used > 0 ? " " : "",
                                hd_notify_event_name((enum hd_notify_event)k));
        }
        const char *const cells[] = {channel->name, hd_notice_kind_name(channel->kind), on};
        cli_table_row(table, cells);
    }
    cli_table_end(table);
}

int cmd_notify(int argc, char **argv)
{
    const char *file = NULL, *only = NULL, *positionals[1] = {NULL};
    size_t count = 0;
    const struct hd_option options[] = {
        {.name = "notify",
         .aliases = "file",
         .kind = HD_OPTION_TEXT,
         .value = &file,
         .hint = "FILE",
         .help = "the file of channels (default: the user's hyperdock/notify.yaml)"},
        {.name = "to",
         .kind = HD_OPTION_TEXT,
         .value = &only,
         .hint = "CHANNEL",
         .help = "only this one"},
    };
    const struct hd_program program = {
        .name = "hd notify",
        .summary = "who is told of runs, and does it arrive",
        .usage = "hd notify test|list [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
        .epilogue = "test sends one message over each channel and says what came of it.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, positionals, &count);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    struct hd_notice_settings *settings = NULL;
    enum hd_code code = HD_OK;
    if (!hd_streq(positionals[0], "test") && !hd_streq(positionals[0], "list"))
        code = hd_fail(&err, HD_E_INVALID, "unknown command \"notify %s\"; it is test or list",
                       positionals[0]);
    if (code == HD_OK)
        code = hd_notice_load(file, &settings, &err);
    if (code == HD_OK && settings->warning[0] != '\0')
        fprintf(stderr, "hd: %s\n", settings->warning);
    if (code == HD_OK && settings->channel_count == 0)
        code = hd_fail(&err, HD_E_NOTFOUND,
                       "there are no channels: write hyperdock/notify.yaml beside the token file, "
                       "or give --notify FILE (docs/notifications.md)");
    if (code == HD_OK && hd_streq(positionals[0], "list"))
        list(settings);
    else if (code == HD_OK)
        code = test(settings, only, &err);
    hd_notice_settings_free(settings);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
