/* SPDX-License-Identifier: Apache-2.0 */
/* docker_login.c: the login for an image's registry, from the files and helpers of whoever runs the
 * worker: masters and experiments have no part in it. See registry.h. */
#include "registry.h"

#include <hd/os.h>

#include <stdlib.h>
#include <string.h>

#define HELPER_MS_MAX 30000
#define HELPER_BYTES_MAX (4u * HD_REGISTRY_SECRET_MAX)

static bool config_path(char *ret_path, size_t path_size)
{
    const char *directory = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    if (directory != NULL && directory[0] != '\0')
        return hd_format(ret_path, path_size, "%s/config.json", directory);
    return home != NULL && home[0] != '\0' &&
           hd_format(ret_path, path_size, "%s/.docker/config.json", home);
}

static enum hd_code ask_helper(struct hd_registry_login *login, struct hd_err *err)
{
    char program[HD_REGISTRY_HELPER_MAX + 32];
    const char *const argv[] = {program, "get", NULL};
    struct hd_buf answer;
    int status = 0;
    (void)hd_format(program, sizeof(program), "docker-credential-%s", login->helper);
    hd_buf_init(&answer, HELPER_BYTES_MAX);
    enum hd_code code = hd_capture(argv, login->server, HELPER_MS_MAX, &answer, &status, err);
    if (code == HD_E_NOTFOUND)
        code = hd_fail(err, HD_E_AUTH, "cannot find the program %s on PATH", program);
    if (code == HD_OK && status != 0) {
        /* It says so on stdout, in one line; a login that it does not have is no error. */
        bool unknown = strstr(hd_buf_text(&answer), "credentials not found") != NULL;
        code = unknown ? hd_fail(err, HD_E_NOTFOUND, "%s knows no login", program)
                       : hd_fail(err, HD_E_AUTH, "%s gives no login for %s: %.*s", program,
                                 login->server, (int)strcspn(hd_buf_text(&answer), "\r\n"),
                                 hd_buf_text(&answer));
    }
    if (code == HD_OK)
        code = hd_registry_parse_helper(hd_buf_text(&answer), answer.size, login, err);
    if (answer.data != NULL)
        explicit_bzero(answer.data, answer.size);
    hd_buf_release(&answer);
    return code;
}

static enum hd_code find_login(const char *path, const char *host, struct hd_registry_login *login,
                               struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_REGISTRY_CONFIG_BYTES_MAX);
    enum hd_code code = hd_file_read(path, HD_REGISTRY_CONFIG_BYTES_MAX, false, &text, err);
    if (code == HD_OK)
        code = hd_registry_find(hd_buf_text(&text), text.size, host, login, err);
    if (text.data != NULL)
        explicit_bzero(text.data, text.size);
    hd_buf_release(&text);
    return code == HD_OK && login->helper[0] != '\0' ? ask_helper(login, err) : code;
}

enum hd_code hd_docker_login(const char *image, struct hd_buf *out, struct hd_err *err)
{
    char path[4096], host[HD_REGISTRY_HOST_MAX];
    struct hd_registry_login login = {.user = ""};
    if (!config_path(path, sizeof(path)) || !hd_path_exists(path))
        return HD_OK;
    hd_registry_host(image, host, sizeof(host));
    enum hd_code code = find_login(path, host, &login, err);
    if (code == HD_OK)
        code = hd_registry_header(&login, out, err);
    explicit_bzero(&login, sizeof(login));
    if (code == HD_OK || code == HD_E_NOTFOUND)
        return HD_OK;
    return hd_fail_in(err, "%s", path);
}
