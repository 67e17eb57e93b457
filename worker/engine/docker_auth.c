/* SPDX-License-Identifier: Apache-2.0 */
/* docker_auth.c: who may pull, as values. Pure; see registry.h. */
#include "registry.h"

#include <hd/value.h>

#include <string.h>

#define HUB "docker.io"
#define HUB_SERVER "https://index.docker.io/v1/"

static const struct hd_value_limits limits = {
    .bytes_max = HD_REGISTRY_CONFIG_BYTES_MAX, .nodes_max = 20000, .depth_max = 16};

/* A first component with a dot or a port, or "localhost", is a host. */
void hd_registry_host(const char *image, char *ret_host, size_t host_size)
{
    size_t length = strcspn(image, "/");
    bool is_host = image[length] == '/' &&
                   (memchr(image, '.', length) != NULL || memchr(image, ':', length) != NULL ||
                    (length == 9 && strncmp(image, "localhost", 9) == 0));
    (void)hd_format(ret_host, host_size, "%.*s", is_host ? (int)length : (int)strlen(HUB),
                    is_host ? image : HUB);
    if (hd_streq(ret_host, "index.docker.io") || hd_streq(ret_host, "registry-1.docker.io"))
        (void)hd_copy_text(ret_host, host_size, HUB);
}

/* Keys are hosts, with a scheme and a path of the first versions of registries or without. */
static bool names_host(const char *key, const char *host)
{
    char name[HD_REGISTRY_HOST_MAX];
    const char *at = strstr(key, "://");
    at = at != NULL ? at + 3 : key;
    size_t length = strcspn(at, "/");
    const char *path = at + length;
    if (path[0] != '\0' && !hd_streq(path, "/") && !hd_streq(path, "/v1") &&
        !hd_streq(path, "/v1/") && !hd_streq(path, "/v2") && !hd_streq(path, "/v2/"))
        return false;
    if (!hd_format(name, sizeof(name), "%.*s", (int)length, at))
        return false;
    if (hd_streq(name, "index.docker.io") || hd_streq(name, "registry-1.docker.io"))
        (void)hd_copy_text(name, sizeof(name), HUB);
    return hd_streq(name, host);
}

static const struct hd_value *find_entry(const struct hd_value *root, const char *section,
                                         const char *host, const char **ret_key)
{
    const struct hd_value *map = hd_value_get(root, section);
    if (map == NULL || map->kind != HD_VALUE_OBJECT)
        return NULL;
    for (size_t i = 0; i < map->as.object.count; i++)
        if (names_host(map->as.object.keys[i], host)) {
            *ret_key = map->as.object.keys[i];
            return map->as.object.items[i];
        }
    return NULL;
}

static const char *text_of(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : "";
}

/* The name of a program to be: nothing that could be a path. */
static bool is_helper_name(const char *name)
{
    return name[0] != '\0' && name[0] != '-' && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               strlen(name);
}

static enum hd_code use_helper(const char *name, struct hd_registry_login *login,
                               struct hd_err *err)
{
    if (!is_helper_name(name) || !hd_copy_text(login->helper, sizeof(login->helper), name))
        return hd_fail(err, HD_E_INVALID, "\"%.60s\" is not the name of a credential helper", name);
    return HD_OK;
}

/* "user:secret" in base64. */
static enum hd_code decode_auth(const char *text, struct hd_registry_login *login,
                                struct hd_err *err)
{
    struct hd_buf plain;
    hd_buf_init(&plain, HD_REGISTRY_SECRET_MAX + sizeof(login->user));
    enum hd_code code = hd_base64_decode(text, strlen(text), &plain, err);
    const char *colon = code == HD_OK ? strchr(hd_buf_text(&plain), ':') : NULL;
    if (code == HD_OK && (colon == NULL || strlen(hd_buf_text(&plain)) != plain.size ||
                          !hd_format(login->user, sizeof(login->user), "%.*s",
                                     (int)(colon - hd_buf_text(&plain)), hd_buf_text(&plain)) ||
                          !hd_copy_text(login->secret, sizeof(login->secret), colon + 1)))
        code = hd_fail(err, HD_E_INVALID, "an auth is no user and password in base64");
    if (plain.data != NULL)
        memset(plain.data, 0, plain.size);
    hd_buf_release(&plain);
    return code;
}

static enum hd_code use_entry(const struct hd_value *entry, struct hd_registry_login *login,
                              struct hd_err *err)
{
    const char *auth = text_of(entry, "auth"), *token = text_of(entry, "identitytoken");
    if (token[0] != '\0')
        return hd_copy_text(login->identity_token, sizeof(login->identity_token), token)
                   ? HD_OK
                   : hd_fail(err, HD_E_LIMIT, "an identity token is too long");
    if (auth[0] != '\0')
        return decode_auth(auth, login, err);
    const char *user = text_of(entry, "username"), *secret = text_of(entry, "password");
    if (user[0] == '\0')
        return hd_fail(err, HD_E_NOTFOUND, "no login is kept in the file");
    return hd_copy_text(login->user, sizeof(login->user), user) &&
                   hd_copy_text(login->secret, sizeof(login->secret), secret)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "a login is too long");
}

/* A helper of its own first, then what the file itself holds, then the helper for all: an entry
 * that is empty only says that the helper has it. */
static enum hd_code find(const struct hd_value *root, const char *host,
                         struct hd_registry_login *login, struct hd_err *err)
{
    const char *key = NULL;
    const struct hd_value *helper = find_entry(root, "credHelpers", host, &key);
    const char *store = text_of(root, "credsStore");
    (void)hd_copy_text(login->server, sizeof(login->server),
                       hd_streq(host, HUB) ? HUB_SERVER : host);
    if (helper != NULL && helper->kind == HD_VALUE_STRING)
        return use_helper(helper->as.string, login, err);
    const struct hd_value *entry = find_entry(root, "auths", host, &key);
    if (entry != NULL) {
        enum hd_code code = use_entry(entry, login, err);
        if (code != HD_E_NOTFOUND)
            return code;
        (void)hd_copy_text(login->server, sizeof(login->server), key);
    }
    if (store[0] != '\0')
        return use_helper(store, login, err);
    return hd_fail(err, HD_E_NOTFOUND, "nothing is known about the registry %s", host);
}

enum hd_code hd_registry_find(const char *text, size_t size, const char *host,
                              struct hd_registry_login *ret_login, struct hd_err *err)
{
    struct hd_value *root = NULL;
    struct hd_registry_login login = {.user = ""};
    enum hd_code code = hd_json_parse(text, size, "config.json", &limits, &root, err);
    if (code != HD_OK)
        return code;
    if (root->kind != HD_VALUE_OBJECT)
        code = hd_fail(err, HD_E_INVALID, "config.json: expected an object");
    else
        code = find(root, host, &login, err);
    if (code == HD_OK)
        *ret_login = login;
    memset(&login, 0, sizeof(login));
    hd_value_free(root);
    return code;
}

enum hd_code hd_registry_parse_helper(const char *text, size_t size,
                                      struct hd_registry_login *login, struct hd_err *err)
{
    struct hd_value *root = NULL;
    enum hd_code code = hd_json_parse(text, size, "answer", &limits, &root, err);
    if (code != HD_OK)
        return hd_fail(err, HD_E_INVALID, "docker-credential-%s does not answer in JSON",
                       login->helper);
    const char *user = text_of(root, "Username"), *secret = text_of(root, "Secret");
    bool token = hd_streq(user, "<token>");
    char *to = token ? login->identity_token : login->secret;
    if (user[0] == '\0' || secret[0] == '\0')
        code = hd_fail(err, HD_E_INVALID, "docker-credential-%s gives no Username and Secret",
                       login->helper);
    else if (!hd_copy_text(login->user, sizeof(login->user), token ? "" : user) ||
             !hd_copy_text(to, HD_REGISTRY_SECRET_MAX, secret))
        code = hd_fail(err, HD_E_LIMIT, "docker-credential-%s gives a login that is too long",
                       login->helper);
    hd_value_free(root);
    return code;
}

static enum hd_code put(const char *key, const char *text, struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = hd_buf_puts(out, key, err);
    return code == HD_OK ? hd_json_write_string(text, out, err) : code;
}

enum hd_code hd_registry_header(const struct hd_registry_login *login, struct hd_buf *out,
                                struct hd_err *err)
{
    struct hd_buf json;
    hd_buf_init(&json, HD_REGISTRY_HEADER_BYTES_MAX);
    enum hd_code code = HD_OK;
    if (login->identity_token[0] != '\0') {
        code = put("{\"identitytoken\":", login->identity_token, &json, err);
    } else {
        code = put("{\"username\":", login->user, &json, err);
        if (code == HD_OK)
            code = put(",\"password\":", login->secret, &json, err);
    }
    if (code == HD_OK)
        code = put(",\"serveraddress\":", login->server, &json, err);
    if (code == HD_OK)
        code = hd_buf_puts(&json, "}", err);
    if (code == HD_OK)
        code = hd_base64_encode(json.data, json.size, true, out, err);
    if (json.data != NULL)
        memset(json.data, 0, json.size);
    hd_buf_release(&json);
    return code;
}
