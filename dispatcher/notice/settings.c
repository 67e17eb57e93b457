/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c: the file of channels, and those of the environment. No secret leaves it by an error.
 */
#include <hd/notice.h>
#include <hd/os.h>
#include <hd/value.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INCUMBENT_EVERY_MS 60000
#define SLACK_URL "https://slack.com/api/chat.postMessage"
#define PUSHOVER_URL "https://api.pushover.net/1/messages.json"
#define EVENTS_ALL ((1u << HD_NOTIFY_EVENT_COUNT) - 1)

const char *hd_notice_kind_name(enum hd_notice_kind kind)
{
    switch (kind) {
    case HD_NOTICE_WEBHOOK:
        return "webhook";
    case HD_NOTICE_SLACK:
        return "slack";
    case HD_NOTICE_PUSHOVER:
        return "pushover";
    case HD_NOTICE_EMAIL:
        return "email";
    case HD_NOTICE_NTFY:
        return "ntfy";
    case HD_NOTICE_KIND_COUNT:
        break;
    }
    return "unknown";
}

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    hd_free(text);
}

void hd_notice_settings_free(struct hd_notice_settings *settings)
{
    if (settings == NULL)
        return;
    for (size_t i = 0; i < settings->channel_count; i++) {
        struct hd_notice_channel *channel = &settings->channels[i];
        wipe(channel->url);
        wipe(channel->secret);
        wipe(channel->user);
        wipe(channel->from);
        for (size_t k = 0; k < channel->to_count; k++)
            wipe(channel->to[k]);
    }
    hd_free(settings);
}

int hd_notice_find(const struct hd_notice_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->channel_count; i++)
        if (hd_streq(settings->channels[i].name, name))
            return (int)i;
    return -1;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reader {
    const char *file;
    struct hd_err *err;
    char path[HD_ID_MAX + 16]; /* "channels.team" */
};

static enum hd_code wrong(const struct reader *reader, const struct hd_value *at, const char *key,
                          const char *what)
{
    return hd_fail(reader->err, HD_E_INVALID, "%s:%d: %s%s%s: %s", reader->file,
                   at != NULL ? at->line : 1, reader->path, reader->path[0] != '\0' ? "." : "", key,
                   what);
}

static enum hd_code nomem(const struct reader *reader)
{
    return hd_fail(reader->err, HD_E_NOMEM, "%s: no memory", reader->file);
}

static const struct hd_value *member(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind != HD_VALUE_NULL ? value : NULL;
}

static enum hd_code check_keys(const struct reader *reader, const struct hd_value *object,
                               const char *const *names, size_t count)
{
    for (size_t i = 0; i < object->as.object.count; i++) {
        const char *key = object->as.object.keys[i];
        size_t n = 0;
        while (n < count && !hd_streq(key, names[n]))
            n++;
        if (n < count)
            continue;
        const char *nearest = hd_nearest(key, names, count);
        char what[160];
        (void)hd_format(what, sizeof(what), "unknown key%s%s%s",
                        nearest != NULL ? ", did you mean \"" : "", nearest != NULL ? nearest : "",
                        nearest != NULL ? "\"?" : "");
        char shown[64];
        (void)hd_copy_text(shown, sizeof(shown), key);
        return wrong(reader, object->as.object.items[i], shown, what);
    }
    return HD_OK;
}

/* Nothing that ends a header or a line of a mail. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static enum hd_code take_text(const struct reader *reader, const struct hd_value *value,
                              const char *key, char **ret_text)
{
    if (value->kind != HD_VALUE_STRING || value->as.string[0] == '\0' ||
        strlen(value->as.string) >= HD_NOTICE_ADDRESS_MAX || !is_plain(value->as.string))
        return wrong(reader, value, key, "expected a text of one line, of less than 1 KiB");
    *ret_text = hd_strdup(value->as.string);
    return *ret_text != NULL ? HD_OK : nomem(reader);
}

static enum hd_code read_text(const struct reader *reader, const struct hd_value *object,
                              const char *key, bool required, char **ret_text)
{
    const struct hd_value *value = member(object, key);
    if (value == NULL)
        return required ? wrong(reader, object, key, "missing") : HD_OK;
    return take_text(reader, value, key, ret_text);
}

static enum hd_code read_events(const struct reader *reader, const struct hd_value *object,
                                unsigned *events)
{
    const struct hd_value *list = member(object, "on");
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY || list->as.array.count == 0)
        return wrong(reader, list, "on",
                     "expected a list of finished, failed, incumbent and worker-lost");
    *events = 0;
    for (size_t i = 0; i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        enum hd_notify_event event;
        if (item->kind != HD_VALUE_STRING || !hd_notify_event_parse(item->as.string, &event))
            return wrong(reader, item, "on",
                         "the events are finished, failed, incumbent and worker-lost");
        *events |= 1u << event;
    }
    return HD_OK;
}

static enum hd_code read_flag(const struct reader *reader, const struct hd_value *object,
                              const char *key, bool *flag)
{
    const struct hd_value *value = member(object, key);
    if (value == NULL)
        return HD_OK;
    if (value->kind != HD_VALUE_BOOL)
        return wrong(reader, value, key, "expected true or false");
    *flag = value->as.boolean;
    return HD_OK;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Of "scheme://host...": nobody else can listen there. */
static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};
    for (size_t i = 0; i < HD_COUNT(names); i++) {
        size_t size = strlen(names[i]);
        if (begins(host, names[i]) && strchr(":/?#", host[size]) != NULL)
            return true;
    }
    return false;
}

/* A URL with these schemes, without blanks and without a user in it: what curl reads must be what
 * was checked. */
static bool is_url(const char *url, const char *scheme, const char *plain_scheme)
{
    if (!begins(url, scheme) && !begins(url, plain_scheme))
        return false;
    const char *host = strstr(url, "://") + 3;
    size_t size = strcspn(host, "/?#");
    return size > 0 && strpbrk(url, " \\\"<>") == NULL && memchr(host, '@', size) == NULL;
}

static enum hd_code check_http(const struct reader *reader, const struct hd_value *object,
                               const struct hd_notice_channel *channel)
{
    if (!is_url(channel->url, "https://", "http://"))
        return wrong(reader, member(object, "url"), "url",
                     "expected https://HOST/PATH or http://HOST/PATH, without a user in it");
    bool carries = channel->kind != HD_NOTICE_WEBHOOK && channel->secret[0] != '\0';
    if (carries && begins(channel->url, "http://") && !is_loopback(channel->url))
        return wrong(reader, member(object, "url"), "url",
                     "a token is sent over https:// only, except to this machine");
    return HD_OK;
}

static enum hd_code check_mail(const struct reader *reader, const struct hd_value *object,
                               const struct hd_notice_channel *channel)
{
    const struct hd_value *server = member(object, "server");
    const char *slash = NULL;
    if (is_url(channel->url, "smtps://", "smtp://"))
        slash = strpbrk(strstr(channel->url, "://") + 3, "/?#");
    else
        return wrong(reader, server, "server", "expected smtps://HOST:PORT or smtp://HOST:PORT");
    if (slash != NULL)
        return wrong(reader, server, "server", "nothing may follow the host and the port");
    if (channel->plaintext && channel->secret[0] != '\0' && !is_loopback(channel->url))
        return wrong(reader, server, "tls",
                     "a password is sent over TLS only, except to this machine");
    if ((channel->user[0] == '\0') != (channel->secret[0] == '\0'))
        return wrong(reader, object, "user", "user and password go together");
    return HD_OK;
}

static bool is_mail_address(const char *text)
{
    const char *at = strchr(text, '@');
    return at != NULL && at != text && at[1] != '\0' && strpbrk(text, " <>\",;") == NULL;
}

static enum hd_code read_recipients(const struct reader *reader, const struct hd_value *object,
                                    struct hd_notice_channel *channel)
{
    static const char expected[] = "expected an address such as me@example.org, or a list of them";
    const struct hd_value *to = member(object, "to");
    if (to == NULL)
        return wrong(reader, object, "to", "missing");
    bool many = to->kind == HD_VALUE_ARRAY;
    size_t count = many ? to->as.array.count : 1;
    if (count == 0 || count > HD_NOTICE_RECIPIENTS_MAX)
        return wrong(reader, to, "to", "expected 1 to 16 addresses");
    for (size_t i = 0; i < count; i++) {
        const struct hd_value *item = many ? to->as.array.items[i] : to;
        enum hd_code code = take_text(reader, item, "to", &channel->to[channel->to_count]);
        if (code != HD_OK)
            return code;
        if (!is_mail_address(channel->to[channel->to_count++]))
            return wrong(reader, item, "to", expected);
    }
    return is_mail_address(channel->from) ? HD_OK
                                          : wrong(reader, member(object, "from"), "from", expected);
}

/* ---- one channel ----------------------------------------------------------------------------- */

static enum hd_code fill_in(const struct reader *reader, struct hd_notice_channel *channel)
{
    char **texts[] = {&channel->url, &channel->secret, &channel->user, &channel->from};
    const char *defaults[] = {"", "", "", ""};
    if (channel->kind == HD_NOTICE_SLACK)
        defaults[0] = SLACK_URL;
    if (channel->kind == HD_NOTICE_PUSHOVER)
        defaults[0] = PUSHOVER_URL;
    for (size_t i = 0; i < HD_COUNT(texts); i++)
        if (*texts[i] == NULL && (*texts[i] = hd_strdup(defaults[i])) == NULL)
            return nomem(reader);
    return HD_OK;
}

struct text_key {
    const char *key;
    char **text;
    bool required;
};

static enum hd_code read_texts(const struct reader *reader, const struct hd_value *object,
                               const struct text_key *keys, size_t count)
{
    const char *names[10] = {"type", "on", "to", "tls"};
    size_t name_count = 2;
    bool mail = hd_streq(keys[0].key, "server");
    if (mail)
        name_count = 4;
    for (size_t i = 0; i < count; i++)
        names[name_count++] = keys[i].key;
    enum hd_code code = check_keys(reader, object, names, name_count);
    for (size_t i = 0; code == HD_OK && i < count; i++)
        code = read_text(reader, object, keys[i].key, keys[i].required, keys[i].text);
    return code;
}

static enum hd_code read_mail(const struct reader *reader, const struct hd_value *object,
                              struct hd_notice_channel *channel)
{
    const struct text_key keys[] = {{"server", &channel->url, true},
                                    {"user", &channel->user, false},
                                    {"password", &channel->secret, false},
                                    {"from", &channel->from, true}};
    bool tls = true;
    enum hd_code code = read_texts(reader, object, keys, HD_COUNT(keys));
    if (code == HD_OK)
        code = read_recipients(reader, object, channel);
    if (code == HD_OK)
        code = read_flag(reader, object, "tls", &tls);
    channel->plaintext = !tls;
    if (code == HD_OK)
        code = fill_in(reader, channel);
    return code == HD_OK ? check_mail(reader, object, channel) : code;
}

/* Slack: an incoming webhook's url alone, or a token and a channel. */
static enum hd_code check_slack(const struct reader *reader, const struct hd_value *object,
                                const struct hd_notice_channel *channel)
{
    if ((channel->secret == NULL) != (channel->user == NULL) ||
        (channel->secret == NULL && channel->url == NULL))
        return wrong(reader, object, "token",
                     "give the url of an incoming webhook, or token and channel");
    return HD_OK;
}

static enum hd_code read_by_kind(const struct reader *reader, const struct hd_value *object,
                                 struct hd_notice_channel *channel)
{
    const struct text_key webhook[] = {{"url", &channel->url, true},
                                       {"secret", &channel->secret, false}};
    const struct text_key slack[] = {{"url", &channel->url, false},
                                     {"token", &channel->secret, false},
                                     {"channel", &channel->user, false}};
    const struct text_key pushover[] = {{"url", &channel->url, false},
                                        {"token", &channel->secret, true},
                                        {"user", &channel->user, true}};
    const struct text_key ntfy[] = {{"url", &channel->url, true},
                                    {"token", &channel->secret, false}};
    enum hd_code code = HD_OK;
    switch (channel->kind) {
    case HD_NOTICE_WEBHOOK:
        code = read_texts(reader, object, webhook, HD_COUNT(webhook));
        break;
    case HD_NOTICE_SLACK:
        code = read_texts(reader, object, slack, HD_COUNT(slack));
        if (code == HD_OK)
            code = check_slack(reader, object, channel);
        break;
    case HD_NOTICE_PUSHOVER:
        code = read_texts(reader, object, pushover, HD_COUNT(pushover));
        break;
    case HD_NOTICE_NTFY:
        code = read_texts(reader, object, ntfy, HD_COUNT(ntfy));
        break;
    case HD_NOTICE_EMAIL:
    case HD_NOTICE_KIND_COUNT:
        return read_mail(reader, object, channel);
    }
    if (code == HD_OK)
        code = fill_in(reader, channel);
    return code == HD_OK ? check_http(reader, object, channel) : code;
}

static enum hd_code read_channel(struct reader *reader, const char *name,
                                 const struct hd_value *object, unsigned events,
                                 struct hd_notice_settings *settings)
{
    char path[sizeof(reader->path)];
    (void)hd_format(path, sizeof(path), "channels.%.64s", name);
    reader->path[0] = '\0';
    if (hd_check_id("the name of a channel", name, reader->err) != HD_OK)
        return wrong(reader, object, "channels",
                     "a name has 1 to 64 letters, digits, '.', '_' and '-'");
    (void)hd_copy_text(reader->path, sizeof(reader->path), path);
    if (object->kind != HD_VALUE_OBJECT)
        return wrong(reader, object, "type", "expected a map, such as {type: webhook, url: ...}");
    const struct hd_value *type = member(object, "type");
    struct hd_notice_channel *channel = &settings->channels[settings->channel_count++];
    (void)hd_copy_text(channel->name, sizeof(channel->name), name);
    int kind = 0;
    while (kind < HD_NOTICE_KIND_COUNT &&
           (type == NULL || type->kind != HD_VALUE_STRING ||
            !hd_streq(type->as.string, hd_notice_kind_name((enum hd_notice_kind)kind))))
        kind++;
    if (kind == HD_NOTICE_KIND_COUNT)
        return wrong(reader, type != NULL ? type : object, "type",
                     "expected webhook, slack, pushover, email or ntfy");
    channel->kind = (enum hd_notice_kind)kind;
    channel->events = events;
    enum hd_code code = read_by_kind(reader, object, channel);
    return code == HD_OK ? read_events(reader, object, &channel->events) : code;
}

static enum hd_code read_channels(struct reader *reader, const struct hd_value *root,
                                  unsigned events, struct hd_notice_settings *settings)
{
    const struct hd_value *channels = member(root, "channels");
    if (channels == NULL)
        return wrong(reader, root, "channels",
                     "missing; give at least one, such as {team: {type: webhook, url: ...}}");
    if (channels->kind != HD_VALUE_OBJECT || channels->as.object.count == 0)
        return wrong(reader, channels, "channels", "expected a map of channels by name");
    if (channels->as.object.count > HD_NOTICE_CHANNELS_MAX)
        return wrong(reader, channels, "channels", "at most 16 are allowed");
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < channels->as.object.count; i++)
        code = read_channel(reader, channels->as.object.keys[i], channels->as.object.items[i],
                            events, settings);
    reader->path[0] = '\0';
    return code;
}

static enum hd_code read_every(const struct reader *reader, const struct hd_value *root,
                               struct hd_notice_settings *settings)
{
    const struct hd_value *every = member(root, "incumbent_every");
    struct hd_err ignored;
    if (every == NULL)
        return HD_OK;
    if (every->kind == HD_VALUE_STRING &&
        hd_parse_duration(every->as.string, &settings->incumbent_every_ms, &ignored) == HD_OK)
        return HD_OK;
    if (every->kind == HD_VALUE_INT && every->as.integer >= 0 && every->as.integer <= 86400 * 365) {
        settings->incumbent_every_ms = every->as.integer * 1000;
        return HD_OK;
    }
    return wrong(reader, every, "incumbent_every", "expected a duration, such as 1m");
}

static enum hd_code read_root(struct reader *reader, const struct hd_value *root,
                              struct hd_notice_settings *settings)
{
    static const char *const names[] = {"channels", "on", "incumbent_every"};
    if (root->kind != HD_VALUE_OBJECT)
        return wrong(reader, root, "channels", "expected a map, such as {channels: {...}}");
    unsigned events = EVENTS_ALL;
    enum hd_code code = check_keys(reader, root, names, HD_COUNT(names));
    if (code == HD_OK)
        code = read_events(reader, root, &events);
    if (code == HD_OK)
        code = read_every(reader, root, settings);
    return code == HD_OK ? read_channels(reader, root, events, settings) : code;
}

static enum hd_code new_settings(struct hd_notice_settings **ret_settings, struct hd_err *err)
{
    struct hd_notice_settings *settings = hd_calloc(1, sizeof(*settings));
    if (settings == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the channels of notices");
    settings->incumbent_every_ms = INCUMBENT_EVERY_MS;
    *ret_settings = settings;
    return HD_OK;
}

enum hd_code hd_notice_parse(const char *text, size_t size, const char *file,
                             struct hd_notice_settings **ret_settings, struct hd_err *err)
{
    struct hd_err unread;
    struct reader reader = {.file = file, .err = err != NULL ? err : &unread};
    struct hd_value_limits limits = hd_value_limits_file;
    limits.bytes_max = HD_NOTICE_FILE_MAX;
    struct hd_value *root = NULL;
    struct hd_notice_settings *settings = NULL;
    enum hd_code code = hd_yaml_parse(text, size, file, &limits, &root, reader.err);
    if (code == HD_OK)
        code = new_settings(&settings, reader.err);
    if (code == HD_OK)
        code = read_root(&reader, root, settings);
    hd_value_free(root);
    if (code != HD_OK) {
        hd_notice_settings_free(settings);
        return code;
    }
    *ret_settings = settings;
    return HD_OK;
}

/* ---- the file and the environment ------------------------------------------------------------ */

/* Beside the token file of the user, or NULL when there is none. */
static enum hd_code users_path(char **ret_path, struct hd_err *err)
{
    char *token = NULL;
    *ret_path = NULL;
    if (hd_users_file("notify.yaml", &token, err) != HD_OK)
        return HD_OK; /* nobody's home: no file */
    if (hd_path_exists(token))
        *ret_path = token;
    else
        hd_free(token);
    return HD_OK;
}

static enum hd_code check_mode(const char *path, struct hd_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return hd_fail(err, errno == ENOENT ? HD_E_NOTFOUND : HD_E_IO, "%s: %s", path,
                       strerror(errno));
    if ((st.st_mode & 077) != 0)
        return hd_fail(err, HD_E_INVALID,
                       "%s holds secrets and others can read it (mode %03o): chmod 600 %s", path,
                       (unsigned)(st.st_mode & 0777), path);
    return HD_OK;
}

static enum hd_code read_file(const char *path, struct hd_notice_settings **ret_settings,
                              struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_NOTICE_FILE_MAX);
    enum hd_code code = check_mode(path, err);
    if (code == HD_OK)
        code = hd_file_read(path, HD_NOTICE_FILE_MAX, false, &text, err);
    if (code == HD_OK)
        code = hd_notice_parse(hd_buf_text(&text), text.size, path, ret_settings, err);
    if (text.data != NULL)
        explicit_bzero(text.data, text.size);
    hd_buf_release(&text);
    return code;
}

/* A channel of two variables; both or none. */
static enum hd_code add_from_environment(struct hd_notice_settings *settings, const char *name,
                                         enum hd_notice_kind kind, const char *secret_name,
                                         const char *user_name, struct hd_err *err)
{
    const char *secret = getenv(secret_name), *user = getenv(user_name);
    bool has_secret = secret != NULL && secret[0] != '\0',
         has_user = user != NULL && user[0] != '\0';
    if ((!has_secret && !has_user) || hd_notice_find(settings, name) >= 0)
        return HD_OK;
    if (!has_secret || !has_user) { /* other programs use these names too: no reason to stop */
        size_t used = strlen(settings->warning);
        (void)hd_format(settings->warning + used, sizeof(settings->warning) - used,
                        "%s%s is set and %s is not: nobody is told by %s", used > 0 ? "; " : "",
                        has_secret ? secret_name : user_name, has_secret ? user_name : secret_name,
                        name);
        return HD_OK;
    }
    if (!is_plain(secret) || !is_plain(user) || strlen(secret) >= HD_NOTICE_ADDRESS_MAX ||
        strlen(user) >= HD_NOTICE_ADDRESS_MAX)
        return hd_fail(err, HD_E_INVALID, "%s and %s: expected texts of one line", secret_name,
                       user_name);
    if (settings->channel_count == HD_NOTICE_CHANNELS_MAX)
        return hd_fail(err, HD_E_LIMIT, "%s: there are %d channels already", secret_name,
                       HD_NOTICE_CHANNELS_MAX);
    struct hd_notice_channel *channel = &settings->channels[settings->channel_count++];
    (void)hd_copy_text(channel->name, sizeof(channel->name), name);
    channel->kind = kind;
    channel->events = EVENTS_ALL;
    channel->secret = hd_strdup(secret);
    channel->user = hd_strdup(user);
    const struct reader reader = {.file = "the environment", .err = err};
    if (channel->secret == NULL || channel->user == NULL)
        return nomem(&reader);
    return fill_in(&reader, channel);
}

enum hd_code hd_notice_load(const char *path, struct hd_notice_settings **ret_settings,
                            struct hd_err *err)
{
    char *found = NULL;
    struct hd_notice_settings *settings = NULL;
    enum hd_code code = path == NULL ? users_path(&found, err) : HD_OK;
    if (code == HD_OK && path == NULL)
        path = found;
    if (code == HD_OK)
        code = path != NULL ? read_file(path, &settings, err) : new_settings(&settings, err);
    hd_free(found);
    if (code == HD_OK)
        code = add_from_environment(settings, "slack", HD_NOTICE_SLACK, "SLACK_API_TOKEN",
                                    "SLACK_RECIPIENT", err);
    if (code == HD_OK)
        code = add_from_environment(settings, "pushover", HD_NOTICE_PUSHOVER, "PUSHOVER_API_TOKEN",
                                    "PUSHOVER_USER_KEY", err);
    if (code != HD_OK) {
        hd_notice_settings_free(settings);
        return code;
    }
    *ret_settings = settings;
    return HD_OK;
}
