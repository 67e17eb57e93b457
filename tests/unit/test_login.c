/* SPDX-License-Identifier: Apache-2.0 */
/* Who may pull an image: what the client's file says, and what goes to the engine. */
#include "testlib.h"

#include "registry.h"

#include <string.h>

static struct hd_err err;

/* A registry's host is told from a name by a dot, a port or "localhost"; everything else is the
 * public one, whatever it is called. */
static void the_host_of_an_image(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"alpine", "docker.io"},
        {"alpine:3", "docker.io"},
        {"library/alpine:3", "docker.io"},
        {"me/x@sha256:12", "docker.io"},
        {"localhost/x", "localhost"},
        {"localhost:5000/x:1", "localhost:5000"},
        {"r.example.com/a/b:1", "r.example.com"},
        {"index.docker.io/a", "docker.io"},
        {"r.example.com", "docker.io"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char host[HD_REGISTRY_HOST_MAX];
        hd_registry_host(rows[i][0], host, sizeof(host));
        assert_string_equal(host, rows[i][1]);
    }
}

struct find_row {
    const char *host, *text;
    enum hd_code code;
    const char *user, *secret, *token, *helper, *server;
};

static void a_login_is_found(void **state)
{
    (void)state;
#define AUTH "{\"auth\":\"Ym9iOmE6Yg==\"}" /* bob, a:b */
    static const struct find_row rows[] = {
        {"r:5", "{\"auths\":{\"r:5\":" AUTH "}}", HD_OK, "bob", "a:b", "", "", "r:5"},
        {"r:5", "{\"auths\":{\"https://r:5/v2/\":" AUTH "}}", HD_OK, "bob", "a:b", "", "", "r:5"},
        {"r:5", "{\"auths\":{\"r:5/other\":" AUTH "}}", HD_E_NOTFOUND, NULL, NULL, NULL, NULL,
         NULL},
        {"r:5", "{\"auths\":{\"r:50\":" AUTH "}}", HD_E_NOTFOUND, NULL, NULL, NULL, NULL, NULL},
        {"docker.io", "{\"auths\":{\"https://index.docker.io/v1/\":" AUTH "}}", HD_OK, "bob", "a:b",
         "", "", "https://index.docker.io/v1/"},
        {"r", "{\"auths\":{\"r\":{\"identitytoken\":\"t\"}}}", HD_OK, "", "", "t", "", "r"},
        {"r", "{\"auths\":{\"r\":{\"username\":\"u\",\"password\":\"p\"}}}", HD_OK, "u", "p", "",
         "", "r"},
        /* An entry that is empty says that the helper has it. */
        {"r", "{\"auths\":{\"https://r\":{}},\"credsStore\":\"desktop\"}", HD_OK, "", "", "",
         "desktop", "https://r"},
        {"r", "{\"credHelpers\":{\"r\":\"ecr-login\"},\"credsStore\":\"s\"}", HD_OK, "", "", "",
         "ecr-login", "r"},
        {"q", "{\"credHelpers\":{\"r\":\"ecr-login\"},\"credsStore\":\"s\"}", HD_OK, "", "", "",
         "s", "q"},
        {"r", "{\"credsStore\":\"../../bin/sh\"}", HD_E_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"r", "{\"credHelpers\":{\"r\":\"\"}}", HD_E_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"r", "{\"auths\":{\"r\":{\"auth\":\"bm9jb2xvbg==\"}}}", HD_E_INVALID, NULL, NULL, NULL,
         NULL, NULL},
        {"r", "{\"auths\":{\"r\":{\"auth\":\"***\"}}}", HD_E_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"r", "{}", HD_E_NOTFOUND, NULL, NULL, NULL, NULL, NULL},
        {"r", "[]", HD_E_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"r", "{", HD_E_INVALID, NULL, NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_registry_login login = {.user = "as before"};
        enum hd_code code =
            hd_registry_find(rows[i].text, strlen(rows[i].text), rows[i].host, &login, &err);
        if (code != rows[i].code)
            fail_msg("%s: %s", rows[i].text, hd_code_name(code));
        assert_string_equal(login.user, code == HD_OK ? rows[i].user : "as before");
        if (code != HD_OK)
            continue;
        assert_string_equal(login.secret, rows[i].secret);
        assert_string_equal(login.identity_token, rows[i].token);
        assert_string_equal(login.helper, rows[i].helper);
        assert_string_equal(login.server, rows[i].server);
    }
}

static void a_helper_answers(void **state)
{
    (void)state;
    static const char good[] = "{\"ServerURL\":\"r\",\"Username\":\"u\",\"Secret\":\"s\"}\n",
                      token[] = "{\"Username\":\"<token>\",\"Secret\":\"s\"}";
    static const char *const bad[] = {"", "no", "{}", "{\"Username\":\"u\"}", "{\"Secret\":\"s\"}"};
    struct hd_registry_login login = {.helper = "mine", .server = "r"};
    struct hd_buf out;
    assert_hd_ok(hd_registry_parse_helper(good, strlen(good), &login, &err));
    assert_string_equal(login.user, "u");
    assert_string_equal(login.secret, "s");
    hd_buf_init(&out, 4096);
    assert_hd_ok(hd_registry_header(&login, &out, &err));
    /* {"username":"u","password":"s","serveraddress":"r"} */
    assert_string_equal(hd_buf_text(&out),
                        "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InMiLCJzZXJ2ZXJhZGRyZX"
                        "NzIjoiciJ9");
    hd_buf_release(&out);
    login = (struct hd_registry_login){.helper = "mine", .server = "r"};
    assert_hd_ok(hd_registry_parse_helper(token, strlen(token), &login, &err));
    assert_string_equal(login.identity_token, "s");
    for (size_t i = 0; i < HD_COUNT(bad); i++)
        assert_hd_fails(hd_registry_parse_helper(bad[i], strlen(bad[i]), &login, &err),
                        HD_E_INVALID, "docker-credential-mine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_host_of_an_image),
        cmocka_unit_test(a_login_is_found),
        cmocka_unit_test(a_helper_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
