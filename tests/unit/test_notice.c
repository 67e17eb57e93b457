/* SPDX-License-Identifier: Apache-2.0 */
/* Notices: the file of channels, what each kind of channel is sent, and that it is told once. */
#include "testlib.h"

#include <hd/notice.h>
#include <hd/os.h>
#include <sink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hd_err err;
static struct hd_notice_settings *settings;
static struct sink *sink;
static struct hd_notifier *notifier;
static char *dir;
static char positions[512];

static int setup(void **state)
{
    (void)state;
    dir = test_dir_make();
    assert_true(hd_format(positions, sizeof(positions), "%s/positions.json", dir));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hd_notifier_close(notifier, 0);
    hd_notice_settings_free(settings);
    sink_close(sink);
    test_dir_remove(dir);
    notifier = NULL;
    settings = NULL;
    sink = NULL;
    return 0;
}

/* ---- the file of channels -------------------------------------------------------------------- */

#define HOOK "channels: {h: {type: webhook, url: \"https://h.example/x\"}}\n"
#define OF(...) "channels:\n  c: {" __VA_ARGS__ "}\n"

/* Every mistake is told with its line and what would be right, and never with a secret. */
static void mistakes_are_told_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "notify.yaml:1: channels: expected a map"},
        {"chanels: {}", "notify.yaml:1: chanels: unknown key, did you mean \"channels\"?"},
        {"channels: {}", "channels: expected a map of channels"},
        {"on: [finished]\nchannels: 3", "notify.yaml:2: channels: expected a map"},
        {"on: [ended]\n" HOOK, "notify.yaml:1: on: the events are finished"},
        {"on: []\n" HOOK, "on: expected a list"},
        {"incumbent_every: soon\n" HOOK, "incumbent_every: expected a duration"},
        {OF("type: webhook, url: \"https://h/\"") "  \"b c\": {}",
         "notify.yaml:3: channels: a name has"},
        {OF("type: pigeon"), "notify.yaml:2: channels.c.type: expected webhook, slack"},
        {OF("url: x"), "channels.c.type: expected webhook"},
        {OF("type: webhook"), "channels.c.url: missing"},
        {OF("type: webhook, url: \"ftp://h/\""), "channels.c.url: expected https://"},
        {OF("type: webhook, url: \"https://me:pw@h/\""), "channels.c.url: expected https://"},
        {OF("type: webhook, url: \"https://h/a b\""), "channels.c.url: expected https://"},
        {OF("type: webhook, url: \"https://h/\", secrt: s"),
         "channels.c.secrt: unknown key, did you mean \"secret\"?"},
        {OF("type: webhook, url: \"https://h/\\n\""), "channels.c.url: expected a text of one"},
        {OF("type: webhook, url: \"https://h/\", on: [lost]"), "channels.c.on: the events are"},
        {OF("type: slack, token: sesame"), "channels.c.token: give the url of an incoming"},
        {OF("type: slack"), "channels.c.token: give the url of an incoming"},
        {OF("type: slack, token: sesame, channel: x, url: \"http://h.example/\""),
         "channels.c.url: a token is sent over https:// only"},
        {OF("type: slack, token: sesame, channel: x, url: \"http://127.0.0.1.example/\""),
         "channels.c.url: a token is sent over https:// only"},
        {OF("type: pushover, token: sesame"), "channels.c.user: missing"},
        {OF("type: ntfy"), "channels.c.url: missing"},
        {OF("type: email, server: \"https://h\", from: a@b, to: a@b"),
         "channels.c.server: expected smtps://"},
        {OF("type: email, server: \"smtps://h/x\", from: a@b, to: a@b"),
         "channels.c.server: nothing may follow"},
        {OF("type: email, server: \"smtps://h\", from: a@b"), "channels.c.to: missing"},
        {OF("type: email, server: \"smtps://h\", from: ab, to: a@b"),
         "channels.c.from: expected an address"},
        {OF("type: email, server: \"smtps://h\", from: a@b, to: \"<a@b>\""),
         "channels.c.to: expected an address"},
        {OF("type: email, server: \"smtps://h\", from: a@b, to: a@b, user: me"),
         "user and password go together"},
        {OF("type: email, server: \"smtp://h\", from: a@b, to: a@b, user: me, password: sesame, "
            "tls: false"),
         "a password is sent over TLS only"},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        assert_hd_fails(
            hd_notice_parse(cases[i].text, strlen(cases[i].text), "notify.yaml", &settings, &err),
            HD_E_INVALID, cases[i].part);
        assert_null(strstr(err.text, "sesame"));
    }
}

static void parse(const char *text)
{
    hd_notice_settings_free(settings);
    settings = NULL;
    assert_hd_ok(hd_notice_parse(text, strlen(text), "notify.yaml", &settings, &err));
}

static void channels_have_their_defaults(void **state)
{
    (void)state;
    parse("channels:\n"
          "  a: {type: slack, token: t, channel: c}\n"
          "  b: {type: pushover, token: t, user: u, on: [failed, worker-lost]}\n"
          "  m: {type: email, server: \"smtp://127.0.0.1:25\", from: a@b, to: [c@d, e@f]}\n"
          "on: [finished]\nincumbent_every: 90s\n");
    assert_int_equal(settings->channel_count, 3);
    assert_int_equal(settings->incumbent_every_ms, 90000);
    assert_string_equal(settings->channels[0].url, "https://slack.com/api/chat.postMessage");
    assert_int_equal(settings->channels[0].events, 1u << HD_NOTIFY_FINISHED);
    assert_int_equal(settings->channels[1].events,
                     (1u << HD_NOTIFY_FAILED) | (1u << HD_NOTIFY_WORKER_LOST));
    assert_int_equal(settings->channels[2].to_count, 2);
    assert_int_equal(hd_notice_find(settings, "m"), 2);
    assert_int_equal(hd_notice_find(settings, "x"), -1);
}

/* A file that others can read is refused; the old names of the environment are channels too. */
static void a_file_is_private_and_the_environment_counts(void **state)
{
    (void)state;
    char path[512];
    assert_true(hd_format(path, sizeof(path), "%s/notify.yaml", dir));
    test_file_write(path, HOOK);
    assert_int_equal(chmod(path, 0644), 0);
    assert_hd_fails(hd_notice_load(path, &settings, &err), HD_E_INVALID, "chmod 600");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(setenv("SLACK_API_TOKEN", "sesame", 1), 0);
    assert_hd_ok(hd_notice_load(path, &settings, &err));
    assert_string_equal(settings->warning, "SLACK_API_TOKEN is set and SLACK_RECIPIENT is not: "
                                           "nobody is told by slack");
    assert_int_equal(settings->channel_count, 1);
    hd_notice_settings_free(settings);
    settings = NULL;
    assert_int_equal(setenv("SLACK_RECIPIENT", "#x", 1), 0);
    assert_int_equal(setenv("PUSHOVER_API_TOKEN", "t", 1), 0);
    assert_int_equal(setenv("PUSHOVER_USER_KEY", "u", 1), 0);
    assert_hd_ok(hd_notice_load(path, &settings, &err));
    assert_int_equal(settings->channel_count, 3);
    assert_string_equal(settings->channels[1].secret, "sesame");
    assert_int_equal(hd_notice_find(settings, "pushover"), 2);
    (void)unsetenv("SLACK_API_TOKEN");
    (void)unsetenv("SLACK_RECIPIENT");
    (void)unsetenv("PUSHOVER_API_TOKEN");
    (void)unsetenv("PUSHOVER_USER_KEY");
    assert_hd_fails(hd_notice_load("/nonexistent/notify.yaml", &settings, &err), HD_E_NOTFOUND,
                    "/nonexistent/notify.yaml");
}

/* What an experiment may say of it, and how its mistakes are told; the description gives it back.
 */
static void an_experiment_names_channels(void **state)
{
    (void)state;
    static const struct {
        const char *notify, *part;
    } cases[] = {
        {"3", "e.yaml:3: notify: expected a map"},
        {"{too: [a]}", "notify.too: unknown key, did you mean \"to\"?"},
        {"{to: team}", "notify.to: expected a list of names"},
        {"{to: [\"a b\"]}", "notify.to: "},
        {"{to: [a, a]}", "notify.to: \"a\" is there twice"},
        {"{on: []}", "notify.on: names no event; notify: {to: []} tells nobody"},
        {"{on: [finshed]}", "there is no event \"finshed\"; did you mean \"finished\"?"},
        {"{on: [x]}", "they are finished, failed, incumbent and worker-lost"},
        {"{to: [a], on: [failed, worker-lost]}", NULL},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        char text[256];
        struct hd_experiment *experiment = NULL, *again = NULL;
        struct hd_buf json, twice;
        assert_true(hd_format(text, sizeof(text),
                              "target: {command: [./t]}\nspace: {x: {type: int, low: 0, high: 9}}\n"
                              "notify: %s\n",
                              cases[i].notify));
        if (cases[i].part != NULL) {
            assert_hd_fails(
                hd_experiment_parse_text(text, strlen(text), "e.yaml", NULL, &experiment, &err),
                HD_E_INVALID, cases[i].part);
            continue;
        }
        hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
        hd_buf_init(&twice, HD_EXPERIMENT_BYTES_MAX);
        assert_hd_ok(
            hd_experiment_parse_text(text, strlen(text), "e.yaml", NULL, &experiment, &err));
        assert_hd_ok(hd_experiment_to_json(experiment, &json, &err));
        assert_non_null(strstr(hd_buf_text(&json),
                               "\"notify\":{\"to\":[\"a\"],\"on\":[\"failed\",\"worker-lost\"]}"));
        assert_hd_ok(
            hd_experiment_parse_text(hd_buf_text(&json), json.size, "again", NULL, &again, &err));
        assert_hd_ok(hd_experiment_to_json(again, &twice, &err));
        assert_string_equal(hd_buf_text(&json), hd_buf_text(&twice));
        hd_buf_release(&json);
        hd_buf_release(&twice);
        hd_experiment_free(experiment);
        hd_experiment_free(again);
    }
}

/* ---- what is sent ---------------------------------------------------------------------------- */

static struct hd_notice notice_of(enum hd_notify_event event, const char *title, const char *text)
{
    static char data[] = "{\"id\":\"x-1-failed\",\"event\":\"failed\"}";
    struct hd_notice notice = {.seq = 1, .event = event, .data = data};
    (void)hd_copy_text(notice.id, sizeof(notice.id), "x-1-failed");
    (void)hd_copy_text(notice.title, sizeof(notice.title), title);
    (void)hd_copy_text(notice.text, sizeof(notice.text), text);
    return notice;
}

static bool has_header(const struct hd_notice_message *message, const char *header)
{
    for (size_t i = 0; i < message->header_count; i++)
        if (hd_streq(message->headers[i], header))
            return true;
    return false;
}

/* The signature is HMAC-SHA256 over the time, a dot and the body: a number made elsewhere. */
static void a_webhook_is_signed(void **state)
{
    (void)state;
    struct hd_notice notice = notice_of(HD_NOTIFY_FAILED, "run r failed", "x");
    struct hd_notice_message message;
    parse("channels: {c: {type: webhook, url: \"https://h/\", secret: key}}");
    assert_hd_ok(hd_notice_compose(&settings->channels[0], &notice, 0, INT64_C(1700000000999),
                                   &message, &err));
    assert_string_equal(message.body, "{\"id\":\"x-1-failed\",\"event\":\"failed\"}");
    assert_true(has_header(&message, "X-Hyperdock-Timestamp: 1700000000"));
    assert_true(has_header(&message, "X-Hyperdock-Event: failed"));
    assert_true(has_header(&message, "X-Hyperdock-Id: x-1-failed"));
    assert_true(has_header(
        &message, "X-Hyperdock-Signature: "
                  "sha256=788a052f947cbf343a20d7f8d84ad5d1c950ace1d4d73c708be39875ef7b34d3"));
    hd_notice_message_release(&message);
    assert_hd_ok(hd_notice_compose(&settings->channels[0], &notice, 2, INT64_C(1700000000000),
                                   &message, &err));
    assert_string_equal(message.body,
                        "{\"id\":\"x-1-failed\",\"event\":\"failed\",\"left_out\":2}");
    assert_true(has_header(
        &message, "X-Hyperdock-Signature: "
                  "sha256=317d01d7085c6249ea67504a12610a22fb5646eeb19109afae2d725b8948c971"));
    hd_notice_message_release(&message);
}

/* Nothing in a title or text can break out of a form, a JSON text, a header or Slack's markup. */
static void every_kind_escapes_what_it_must(void **state)
{
    (void)state;
    struct hd_notice notice = notice_of(HD_NOTIFY_FAILED, "run \"r\" \xc3\xa4<b>", "a&b\n\xc3\xa4");
    struct hd_notice_message message;
    parse("channels:\n"
          "  s: {type: slack, token: tok, channel: \"#x\"}\n"
          "  i: {type: slack, url: \"https://h/\"}\n"
          "  p: {type: pushover, token: tok, user: us}\n"
          "  n: {type: ntfy, url: \"https://n/t\", token: tok}\n"
          "  m: {type: email, server: \"smtps://m\", from: a@b, to: [c@d, e@f]}\n");
    static const struct {
        const char *body, *header;
    } expected[] = {
        {"{\"channel\":\"#x\",\"text\":\"*run \\\"r\\\" "
         "\xc3\xa4&lt;b&gt;*\\na&amp;b\\n\xc3\xa4\\n(1 "
         "earlier notice could not be sent)\"}",
         "Authorization: Bearer tok"},
        {"{\"text\":\"*run \\\"r\\\" \xc3\xa4&lt;b&gt;*\\na&amp;b\\n\xc3\xa4\\n(1 earlier notice "
         "could not be sent)\"}",
         "Content-Type: application/json; charset=utf-8"},
        {"token=tok&user=us&title=run%20%22r%22%20%C3%A4%3Cb%3E&message=a%26b%0A%C3%A4%0A%281%20"
         "earlier%20notice%20could%20not%20be%20sent%29&priority=1",
         "Content-Type: application/x-www-form-urlencoded"},
        {"a&b\n\xc3\xa4\n(1 earlier notice could not be sent)", "Title: run \"r\" ?\?<b>"},
        {"a&b\n\xc3\xa4\n(1 earlier notice could not be sent)\n", "Subject: run \"r\" ?\?<b>"},
    };
    for (size_t i = 0; i < HD_COUNT(expected); i++) {
        assert_hd_ok(hd_notice_compose(&settings->channels[i], &notice, 1, INT64_C(1700000000000),
                                       &message, &err));
        assert_string_equal(message.body, expected[i].body);
        assert_true(has_header(&message, expected[i].header));
        if (i == 4) {
            assert_true(has_header(&message, "Date: Tue, 14 Nov 2023 22:13:20 +0000"));
            assert_true(has_header(&message, "To: c@d, e@f"));
        }
        hd_notice_message_release(&message);
    }
}

static void answers_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        enum hd_notice_kind kind;
        int status;
        const char *body;
        enum hd_code code;
    } cases[] = {
        {HD_NOTICE_WEBHOOK, 200, "", HD_OK},
        {HD_NOTICE_WEBHOOK, 204, "{", HD_OK},
        {HD_NOTICE_WEBHOOK, 301, "", HD_E_INVALID},
        {HD_NOTICE_WEBHOOK, 404, "", HD_E_INVALID},
        {HD_NOTICE_WEBHOOK, 408, "", HD_E_NET},
        {HD_NOTICE_WEBHOOK, 429, "", HD_E_NET},
        {HD_NOTICE_WEBHOOK, 503, "", HD_E_NET},
        {HD_NOTICE_SLACK, 200, "ok", HD_OK},
        {HD_NOTICE_SLACK, 200, "{\"ok\":true}", HD_OK},
        {HD_NOTICE_SLACK, 200, "{\"ok\":false,\"error\":\"invalid_auth\"}", HD_E_INVALID},
        {HD_NOTICE_SLACK, 200, "{\"ok\":false,\"error\":\"ratelimited\"}", HD_E_NET},
        {HD_NOTICE_SLACK, 200, "{\"ok\":false,\"error\":[\"se\"]}", HD_E_INVALID},
        {HD_NOTICE_SLACK, 200, "{no", HD_E_NET},
        {HD_NOTICE_EMAIL, 451, "", HD_E_NET},
        {HD_NOTICE_EMAIL, 550, "", HD_E_INVALID},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++)
        assert_string_equal(
            hd_code_name(hd_notice_judge(cases[i].kind, cases[i].status, cases[i].body, &err)),
            hd_code_name(cases[i].code));
}

/* ---- over the wire --------------------------------------------------------------------------- */

static void use_sink(const char *format)
{
    char text[1024], port[8];
    (void)hd_format(port, sizeof(port), "%u", sink_port(sink));
    const char *at = strstr(format, "PORT");
    assert_non_null(at);
    assert_true(
        hd_format(text, sizeof(text), "%.*s%s%s", (int)(at - format), format, port, at + 4));
    parse(text);
}

#define TO_SINK "channels: {c: {type: webhook, url: \"http://127.0.0.1:PORT/in\"}}\n"

static void a_mail_arrives_whole(void **state)
{
    (void)state;
    struct hd_notice notice =
        notice_of(HD_NOTIFY_FINISHED, "run r finished", ".\r\nQUIT\n\xc3\xa4");
    struct hd_notice_message message;
    sink = sink_open_smtp();
    use_sink("channels: {c: {type: email, server: \"smtp://127.0.0.1:PORT\", user: me, password: "
             "sesame, tls: false, from: a@b, to: [c@d, e@f]}}");
    assert_hd_ok(hd_notice_compose(&settings->channels[0], &notice, 0, INT64_C(1700000000000),
                                   &message, &err));
    assert_hd_ok(hd_notice_send(&settings->channels[0], &message, 30000, NULL, &err));
    sink_wait(sink, 1);
    static const char *const parts[] = {"AUTH PLAIN",
                                        "MAIL FROM:<a@b>",
                                        "RCPT TO:<c@d>",
                                        "RCPT TO:<e@f>",
                                        "\r\nSubject: run r finished\r\n",
                                        "\r\nTo: c@d, e@f\r\n",
                                        "Content-Transfer-Encoding: base64",
                                        "Lg0KUVVJVArDpAo=" /* the text */};
    for (size_t i = 0; i < HD_COUNT(parts); i++)
        if (strstr(sink_message(sink, 0), parts[i]) == NULL)
            fail_msg("no \"%s\" in\n%s", parts[i], sink_message(sink, 0));
    sink_answer(sink, 550, "no");
    assert_hd_fails(hd_notice_send(&settings->channels[0], &message, 30000, NULL, &err),
                    HD_E_INVALID, "it answered 550");
    sink_answer(sink, 451, "later");
    assert_hd_fails(hd_notice_send(&settings->channels[0], &message, 30000, NULL, &err), HD_E_NET,
                    "it answered 451");
    hd_notice_message_release(&message);
}

static void open_notifier(uint64_t last_seq)
{
    struct hd_notifier_options options = {
        .settings = settings, .positions_path = positions, .retry_ms = 1, .send_ms = 30000};
    assert_hd_ok(hd_notifier_open(&options, &notifier, &err));
    assert_hd_ok(hd_notifier_start(notifier, last_seq, &err));
}

static void close_notifier(void)
{
    hd_notifier_close(notifier, 30000);
    notifier = NULL;
}

static struct hd_notice *make(uint64_t seq, enum hd_notify_event event)
{
    struct hd_notice *notice = hd_calloc(1, sizeof(*notice));
    assert_non_null(notice);
    notice->seq = seq;
    notice->event = event;
    notice->run_uid = 7;
    notice->channels = 1;
    (void)hd_format(notice->id, sizeof(notice->id), "7-%d-x", (int)seq);
    char data[64];
    (void)hd_format(data, sizeof(data), "{\"id\":\"%s\"}", notice->id);
    notice->data = hd_strdup(data);
    assert_non_null(notice->data);
    return notice;
}

static void push(uint64_t seq, enum hd_notify_event event)
{
    hd_notifier_push(notifier, make(seq, event));
}

static void push_of(uint64_t seq, enum hd_notify_event event, uint64_t run_uid, unsigned channels)
{
    struct hd_notice *notice = make(seq, event);
    notice->run_uid = run_uid;
    notice->channels = channels;
    hd_notifier_push(notifier, notice);
}

/* The bodies of what came, joined. */
static void assert_told(const char *expected)
{
    char all[4096] = "";
    for (size_t i = 0; i < sink_count(sink); i++) {
        size_t used = strlen(all);
        assert_true(hd_format(all + used, sizeof(all) - used, "%s",
                              strstr(sink_message(sink, i), "\r\n\r\n") + 4));
    }
    assert_string_equal(all, expected);
}

/* What fails for now is tried again, the same one, and what comes later waits its turn. */
static void what_fails_is_tried_again(void **state)
{
    (void)state;
    sink = sink_open_http();
    use_sink(TO_SINK);
    sink_answer(sink, 503, "");
    sink_answer(sink, 0, "");
    open_notifier(0);
    push(1, HD_NOTIFY_FAILED);
    push(2, HD_NOTIFY_FINISHED);
    sink_wait(sink, 4);
    close_notifier();
    assert_told("{\"id\":\"7-1-x\"}{\"id\":\"7-1-x\"}{\"id\":\"7-1-x\"}{\"id\":\"7-2-x\"}");
}

/* What is refused for good, or fails too often, is given up, and the next one counts it. */
static void what_is_given_up_is_counted(void **state)
{
    (void)state;
    sink = sink_open_http();
    use_sink(TO_SINK);
    sink_answer(sink, 403, "");
    for (int i = 0; i < HD_NOTICE_TRIES_MAX; i++)
        sink_answer(sink, 500, "");
    open_notifier(0);
    push(1, HD_NOTIFY_FAILED);
    push(2, HD_NOTIFY_FAILED);
    push(3, HD_NOTIFY_FAILED);
    push(4, HD_NOTIFY_FAILED);
    sink_wait(sink, 1 + HD_NOTICE_TRIES_MAX + 2);
    close_notifier();
    const char *last = sink_message(sink, sink_count(sink) - 2);
    assert_string_equal(strstr(last, "\r\n\r\n") + 4, "{\"id\":\"7-3-x\",\"left_out\":2}");
    last = sink_message(sink, sink_count(sink) - 1);
    assert_string_equal(strstr(last, "\r\n\r\n") + 4, "{\"id\":\"7-4-x\"}");
}

/* A best config that waited is told only if nothing newer of its run came meanwhile. */
static void the_newest_best_config_is_told(void **state)
{
    (void)state;
    sink = sink_open_http();
    use_sink("incumbent_every: 1h\n" TO_SINK);
    open_notifier(0);
    push(1, HD_NOTIFY_INCUMBENT);
    sink_wait(sink, 1);
    push(2, HD_NOTIFY_INCUMBENT);
    push(3, HD_NOTIFY_INCUMBENT);
    push(4, HD_NOTIFY_FINISHED);
    sink_wait(sink, 2);
    push(5, HD_NOTIFY_INCUMBENT); /* within the hour; but the master ends */
    close_notifier();
    assert_told("{\"id\":\"7-1-x\"}{\"id\":\"7-4-x\"}{\"id\":\"7-5-x\"}");
}

/* Each run has its own time between best configs, and what is for other channels ends none. */
static void best_configs_of_many_runs_keep_their_time(void **state)
{
    (void)state;
    sink = sink_open_http();
    use_sink("incumbent_every: 1h\n" TO_SINK);
    struct hd_notice_channel *other = &settings->channels[settings->channel_count++];
    *other = (struct hd_notice_channel){.name = "d",
                                        .kind = HD_NOTICE_WEBHOOK,
                                        .url = hd_strdup(settings->channels[0].url),
                                        .secret = hd_strdup("")};
    assert_true(other->url != NULL && other->secret != NULL);
    open_notifier(0);
    push(1, HD_NOTIFY_INCUMBENT);
    push_of(2, HD_NOTIFY_INCUMBENT, 8, 1);
    sink_wait(sink, 2);
    push(3, HD_NOTIFY_INCUMBENT);
    push_of(4, HD_NOTIFY_INCUMBENT, 8, 1);
    push_of(5, HD_NOTIFY_INCUMBENT, 9, 1); /* the first of its run waits its turn */
    push_of(6, HD_NOTIFY_FAILED, 7, 2);    /* for the other channel, which comes after this one */
    sink_wait(sink, 3);
    close_notifier();
    assert_told("{\"id\":\"7-1-x\"}{\"id\":\"7-2-x\"}{\"id\":\"7-6-x\"}{\"id\":\"7-3-x\"}"
                "{\"id\":\"7-4-x\"}{\"id\":\"7-5-x\"}");
}

/* A restart tells what was not told and nothing that was. */
static void a_restart_tells_the_rest(void **state)
{
    (void)state;
    sink = sink_open_http();
    use_sink(TO_SINK);
    open_notifier(10);
    push(11, HD_NOTIFY_FAILED);
    sink_wait(sink, 1);
    close_notifier();
    sink_answer(sink, -1, ""); /* the service hangs while the master ends */
    open_notifier(12);
    push(12, HD_NOTIFY_FAILED);
    push(13, HD_NOTIFY_FINISHED);
    sink_wait(sink, 2);
    hd_notifier_close(notifier, 0);
    notifier = NULL;
    sink_close(sink);
    sink = sink_open_http();
    use_sink(TO_SINK);
    struct hd_notifier_options options = {.settings = settings, .positions_path = positions};
    assert_hd_ok(hd_notifier_open(&options, &notifier, &err));
    assert_true(hd_notifier_told(notifier) == 11);
    for (uint64_t seq = 11; seq <= 13; seq++)
        push(seq, HD_NOTIFY_FINISHED);
    assert_hd_ok(hd_notifier_start(notifier, 13, &err));
    close_notifier();
    assert_told("{\"id\":\"7-12-x\"}{\"id\":\"7-13-x\"}");
}

/* A channel that nobody knew is told what happens from now on. */
static void a_new_channel_hears_no_history(void **state)
{
    (void)state;
    sink = sink_open_http();
    use_sink(TO_SINK);
    struct hd_notifier_options options = {.settings = settings, .positions_path = positions};
    assert_hd_ok(hd_notifier_open(&options, &notifier, &err));
    assert_true(hd_notifier_told(notifier) == UINT64_MAX);
    const uint64_t last = HD_NOTICE_QUEUE_MAX + 3; /* more than waits, and nothing is left out */
    for (uint64_t seq = 1; seq <= last; seq++)
        push(seq, HD_NOTIFY_FAILED);
    assert_hd_ok(hd_notifier_start(notifier, last, &err));
    push(last + 1, HD_NOTIFY_FAILED);
    close_notifier();
    assert_told("{\"id\":\"7-260-x\"}");
}

/* The queue has an end: whoever pushes never waits, and the oldest go. */
static void a_full_queue_drops_the_oldest(void **state)
{
    (void)state;
    sink = sink_open_http();
    use_sink(TO_SINK);
    struct hd_notifier_options options = {.settings = settings, .positions_path = positions};
    assert_hd_ok(hd_notifier_open(&options, &notifier, &err));
    test_file_write(positions, "{\"c\":0}");
    hd_notifier_close(notifier, 0);
    assert_hd_ok(hd_notifier_open(&options, &notifier, &err));
    for (uint64_t seq = 1; seq <= HD_NOTICE_QUEUE_MAX + 3; seq++)
        push(seq, HD_NOTIFY_FAILED);
    assert_hd_ok(hd_notifier_start(notifier, HD_NOTICE_QUEUE_MAX + 3, &err));
    sink_wait(sink, HD_NOTICE_QUEUE_MAX);
    close_notifier();
    assert_int_equal(sink_count(sink), HD_NOTICE_QUEUE_MAX);
    assert_string_equal(strstr(sink_message(sink, 0), "\r\n\r\n") + 4,
                        "{\"id\":\"7-4-x\",\"left_out\":3}");
}

/* A file of positions that is no such file is an error of the start, not silence. */
static void broken_positions_are_told(void **state)
{
    (void)state;
    parse(HOOK);
    test_file_write(positions, "{\"h\":");
    struct hd_notifier_options options = {.settings = settings, .positions_path = positions};
    assert_hd_fails(hd_notifier_open(&options, &notifier, &err), HD_E_INVALID,
                    "delete the file to begin anew");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mistakes_are_told_by_line, setup, teardown),
        cmocka_unit_test_setup_teardown(channels_have_their_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_is_private_and_the_environment_counts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_experiment_names_channels, setup, teardown),
        cmocka_unit_test_setup_teardown(a_webhook_is_signed, setup, teardown),
        cmocka_unit_test_setup_teardown(every_kind_escapes_what_it_must, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mail_arrives_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(what_fails_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_given_up_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_best_config_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(best_configs_of_many_runs_keep_their_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_tells_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_channel_hears_no_history, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_drops_the_oldest, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_positions_are_told, setup, teardown),
    };
    return cmocka_run_group_tests_name("notice", tests, NULL, NULL);
}
