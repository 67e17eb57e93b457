/* SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include <hd/store.h>

#include <string.h>

#define CALL_TIMEOUT_MS 10000
#define RECORD_BYTES_MAX 65536
#define NS_ARENA_BYTES_MAX (8u * 1024u * 1024u)
/* An answer of numbers alone has one every two bytes. */
static const struct hd_value_limits view_limits = {
    .bytes_max = HD_MESSAGE_BYTES_MAX, .nodes_max = HD_VIEW_JSON_MAX, .depth_max = 64};

/* ---- by nameserver or address --------------------------------------------------------------- */

enum hd_code cli_remote_check(const struct cli_remote *remote, const char *state_dir,
                              bool *ret_remote, struct hd_err *err)
{
    const struct hd_net_security *security = &remote->security;
    bool given = remote->nameserver != NULL || remote->master != NULL;
    if (remote->nameserver != NULL && remote->master != NULL)
        return hd_fail(err, HD_E_INVALID, "give --nameserver or --master, not both");
    if (given && state_dir != NULL)
        return hd_fail(err, HD_E_INVALID,
                       "give --state-dir for a directory of this machine, or %s for a live master, "
                       "not both",
                       remote->master != NULL ? "--master" : "--nameserver");
    if (!given && (remote->token_file != NULL || security->cert_file != NULL ||
                   security->key_file != NULL || security->ca_file != NULL || security->plaintext))
        return hd_fail(err, HD_E_INVALID,
                       "--token-file, --cert, --key, --ca and --plaintext go with --nameserver or "
                       "--master");
    *ret_remote = given;
    return HD_OK;
}

/* "a, b": what the masters of the answer serve, for messages. */
static void list_runs(const struct hd_ns_reply *reply, char *text, size_t text_size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < reply->entry_count; i++)
        for (size_t k = 0; k < reply->entries[i].run_count; k++) {
            const char *run = reply->entries[i].runs[k];
            if (!hd_format(text + used, text_size - used, "%s%s", used > 0 ? ", " : "", run)) {
                text[used] = '\0';
                return;
            }
            used = strlen(text);
        }
}

static enum hd_code choose(const struct cli_remote *remote, const char *run_id,
                           const struct hd_ns_reply *reply, struct cli_master *master,
                           struct hd_err *err)
{
    char runs[256];
    list_runs(reply, runs, sizeof(runs));
    if (reply->entry_count == 0 && run_id[0] != '\0')
        return hd_fail(err, HD_E_NOTFOUND, "the nameserver %s knows no master of run %s",
                       remote->nameserver, run_id);
    if (reply->entry_count == 0)
        return hd_fail(err, HD_E_NOTFOUND, "the nameserver %s knows no master", remote->nameserver);
    if (reply->entry_count > 1 && run_id[0] == '\0')
        return hd_fail(err, HD_E_CONFLICT,
                       "the nameserver %s knows %zu masters (runs: %s); name a run, or a master "
                       "with --master",
                       remote->nameserver, reply->entry_count, runs);
    if (!hd_copy_text(master->address, sizeof(master->address), reply->entries[0].address))
        return hd_fail(err, HD_E_LIMIT, "the master's address is too long");
    return HD_OK;
}

static enum hd_code look_up(const struct cli_remote *remote, const char *run_id,
                            struct cli_master *master, struct hd_err *err)
{
    char host[256], address[HD_ADDRESS_MAX];
    uint16_t port;
    struct hd_arena *arena = NULL;
    struct hd_ns_request request = {.kind = HD_NS_LOOKUP,
                                    .token = master->token,
                                    .entry = {.id = "", .address = ""},
                                    .run_id = run_id};
    enum hd_code code =
        hd_net_split(remote->nameserver, HD_NET_NAMESERVER_PORT, host, sizeof(host), &port, err);
    if (code != HD_OK)
        return hd_fail_in(err, "--nameserver");
    if (!hd_format(address, sizeof(address), strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host,
                   (unsigned)port))
        return hd_fail(err, HD_E_LIMIT, "--nameserver: the address is too long");
    struct hd_ns_reply *reply = hd_calloc(1, sizeof(*reply));
    code = reply == NULL ? hd_fail(err, HD_E_NOMEM, "no memory")
                         : hd_arena_new(NS_ARENA_BYTES_MAX, &arena, err);
    if (code == HD_OK)
        code = hd_ns_call(address, &remote->security, &request, CALL_TIMEOUT_MS, arena, reply, err);
    if (code == HD_OK)
        code = choose(remote, run_id, reply, master, err);
    hd_arena_free(arena);
    hd_free(reply);
    return code;
}

enum hd_code cli_master_find(const struct cli_remote *remote, const char *run_id,
                             struct cli_master *ret_master, struct hd_err *err)
{
    ret_master->security = remote->security;
    ret_master->timeout_ms = 0;
    enum hd_code code = hd_token_load(remote->token_file, ret_master->token, NULL, err);
    if (code != HD_OK)
        return code;
    if (remote->master == NULL)
        return look_up(remote, run_id, ret_master, err);
    if (!hd_copy_text(ret_master->address, sizeof(ret_master->address), remote->master))
        return hd_fail(err, HD_E_LIMIT, "--master: the address is too long");
    return HD_OK;
}

/* ---- by the record in its state directory ---------------------------------------------------- */

static const char *text_of(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : NULL;
}

/* With what the master itself listens: a command comes from the same machine and person. */
static void read_security(const struct hd_value *record, struct cli_master *master)
{
    const struct hd_value *plaintext = hd_value_get(record, "plaintext");
    const char *cert = text_of(record, "cert"), *key = text_of(record, "key");
    const char *ca = text_of(record, "ca");
    master->security.plaintext =
        plaintext != NULL && plaintext->kind == HD_VALUE_BOOL && plaintext->as.boolean;
    if (cert != NULL && hd_copy_text(master->cert, sizeof(master->cert), cert))
        master->security.cert_file = master->cert;
    if (key != NULL && hd_copy_text(master->key, sizeof(master->key), key))
        master->security.key_file = master->key;
    if (ca != NULL && hd_copy_text(master->ca, sizeof(master->ca), ca))
        master->security.ca_file = master->ca;
}

static enum hd_code read_record(const char *path, struct hd_value **ret_record, struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, RECORD_BYTES_MAX);
    enum hd_code code = hd_file_read(path, RECORD_BYTES_MAX, true, &text, err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&text), text.size, path, &hd_value_limits_target,
                             ret_record, err);
    hd_buf_release(&text);
    return code;
}

enum hd_code cli_master_of_state(const char *state_dir, struct cli_master *ret_master,
                                 struct hd_err *err)
{
    char path[CLI_PATH_MAX];
    struct hd_value *record = NULL;
    if (!hd_format(path, sizeof(path), "%s/" HD_STORE_FILE_NAME ".master.json", state_dir))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", state_dir);
    if (!hd_path_exists(path))
        return hd_fail(err, HD_E_NOTFOUND, "no master serves %s", state_dir);
    enum hd_code code = read_record(path, &record, err);
    if (code != HD_OK)
        return code;
    const struct hd_value *pid = hd_value_get(record, "pid");
    const struct hd_value *ticks = hd_value_get(record, "start_ticks");
    const char *address = text_of(record, "address");
    const char *token_file = text_of(record, "token_file");
    *ret_master = (struct cli_master){.address = ""};
    if (pid == NULL || pid->kind != HD_VALUE_INT || ticks == NULL || ticks->kind != HD_VALUE_INT ||
        address == NULL || token_file == NULL)
        code = hd_fail(err, HD_E_CORRUPT, "%s is not a master's record", path);
    else if (hd_process_start_ticks((pid_t)pid->as.integer) != (uint64_t)ticks->as.integer)
        code = hd_fail(err, HD_E_NOTFOUND, "no master serves %s", state_dir);
    else if (!hd_copy_text(ret_master->address, sizeof(ret_master->address), address))
        code = hd_fail(err, HD_E_LIMIT, "the master's address in %s is too long", path);
    else
        code = hd_token_load(token_file, ret_master->token, NULL, err);
    if (code == HD_OK)
        read_security(record, ret_master);
    hd_value_free(record);
    return code;
}

/* ---- one request ---------------------------------------------------------------------------- */

enum hd_code cli_master_call(const struct cli_master *master, struct hd_request *request,
                             struct hd_value **ret_view, struct hd_err *err)
{
    struct hd_buf out, in;
    struct hd_arena *arena = NULL;
    struct hd_reply *reply = hd_malloc(sizeof(*reply));
    hd_buf_init(&out, HD_MESSAGE_BYTES_MAX);
    hd_buf_init(&in, HD_MESSAGE_BYTES_MAX);
    request->token = master->token;
    request->worker = "";
    request->lane = HD_LANE_CONTROL;
    enum hd_code code = reply == NULL ? hd_fail(err, HD_E_NOMEM, "no memory")
                                      : hd_request_encode(request, &out, err);
    if (code == HD_OK) {
        code = hd_net_call(master->address, &master->security, out.data, out.size,
                           master->timeout_ms > 0 ? master->timeout_ms : CALL_TIMEOUT_MS, &in, err);
        if (code != HD_OK)
            (void)hd_fail_in(err, "the master at %s", master->address);
    }
    if (code == HD_OK)
        code = hd_arena_new(HD_WIRE_ARENA_BYTES_MAX, &arena, err);
    if (code == HD_OK)
        code = hd_reply_decode(in.data, in.size, arena, reply, err);
    if (code == HD_OK && reply->kind == HD_REPLY_REFUSED)
        code = hd_fail(err, reply->code, "%s", reply->text);
    if (code == HD_OK && ret_view != NULL && reply->kind != HD_REPLY_VIEW)
        code =
            hd_fail(err, HD_E_VERSION, "the master at %s does not answer views", master->address);
    if (code == HD_OK && ret_view != NULL)
        code = hd_json_parse(reply->view_json, strlen(reply->view_json), "the master's answer",
                             &view_limits, ret_view, err);
    hd_arena_free(arena);
    hd_buf_release(&in);
    hd_buf_release(&out);
    hd_free(reply);
    return code;
}
