/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: hd-nameserver. */
#include "service.h"

#include <hd/message.h>
#include <stdio.h>
#include <unistd.h>

#define TTL_MS_DEFAULT 30000

struct settings {
    const char *host, *nic, *advertise;
    int64_t port;
    int64_t ttl_ms;
    const char *credentials_dir, *token_file;
    struct hd_net_security security;
    struct hd_log_words log;
};

static enum hd_parse_answer parse(struct settings *settings, int argc, char **argv)
{
    const struct hd_option options[] = {
        {.name = "host",
         .kind = HD_OPTION_TEXT,
         .value = &settings->host,
         .hint = "HOST",
         .help = "address to listen on; * for all [127.0.0.1]"},
        {.name = "port",
         .kind = HD_OPTION_INT,
         .value = &settings->port,
         .hint = "N",
         .int_max = UINT16_MAX,
         .help = "port to listen on; 0 for any free one"},
        {.name = "nic",
         .aliases = "nic-name",
         .kind = HD_OPTION_TEXT,
         .value = &settings->nic,
         .hint = "NAME",
         .help = "listen on this network interface"},
        {.name = "advertise",
         .kind = HD_OPTION_TEXT,
         .value = &settings->advertise,
         .hint = "HOST",
         .help = "host name to write into credentials files"},
        {.name = "ttl",
         .kind = HD_OPTION_DURATION,
         .value = &settings->ttl_ms,
         .hint = "DURATION",
         .help = "forget who did not renew for so long"},
        {.name = "credentials-dir",
         .aliases = "working-directory",
         .kind = HD_OPTION_TEXT,
         .value = &settings->credentials_dir,
         .hint = "DIR",
         .help = "write a credentials file for each run"},
        {.name = "token-file",
         .kind = HD_OPTION_TEXT,
         .value = &settings->token_file,
         .hint = "FILE",
         .help = "token that every caller must know"},
        HD_NET_SECURITY_OPTIONS(settings->security, "only callers with a certificate of this CA",
                                "listen beyond this machine without TLS"),
        HD_LOG_OPTIONS(settings->log),
    };
    const struct hd_program program = {
        .name = "hd-nameserver",
        .summary = "lets masters and workers find each other",
        .usage = "hd-nameserver [options]",
        .epilogue = "Prints \"HOST PORT\" once it listens.",
        .options = options,
        .option_count = HD_COUNT(options),
    };
    return hd_options_parse(&program, argc, argv, NULL, NULL);
}

/* What others can dial: a wildcard address is none. */
static const char *advertised(const struct settings *settings, const char *host, char *own,
                              size_t own_size)
{
    if (settings->advertise != NULL)
        return settings->advertise;
    if (!hd_streq(host, "0.0.0.0") && !hd_streq(host, "::"))
        return host;
    if (gethostname(own, own_size) != 0)
        return "localhost";
    own[own_size - 1] = '\0';
    return own;
}

static enum hd_code serve(const struct settings *settings, int stop_fd, struct hd_err *err)
{
    char host[HD_ADDRESS_MAX], own[HD_ADDRESS_MAX];
    struct hd_keyring *keyring = NULL;
    enum hd_code code = hd_net_resolve(settings->host, settings->nic, host, sizeof(host), err);
    if (code == HD_OK)
        code = hd_keyring_open(settings->token_file, &keyring, err);
    if (code != HD_OK)
        return code;
    const struct hd_service_settings service_settings = {
        .host = host,
        .port = (uint16_t)settings->port,
        .advertise = advertised(settings, host, own, sizeof(own)),
        .ttl_ms = settings->ttl_ms,
        .keyring = keyring,
        .credentials_dir = settings->credentials_dir,
        .security = settings->security,
    };
    struct hd_service *service;
    uint16_t port;
    code = hd_service_open(&service_settings, &service, &port, err);
    if (code != HD_OK) {
        hd_keyring_free(keyring);
        return code;
    }
    printf("%s %u\n", host, (unsigned)port);
    fflush(stdout);
    hd_log(HD_LOG_INFO, "listening on %s port %u", host, (unsigned)port);
    hd_notify_ready("listening");
    code = hd_service_run(service, stop_fd, err);
    hd_notify_stopping();
    hd_service_close(service);
    hd_keyring_free(keyring);
    hd_log(HD_LOG_INFO, "stopped");
    return code;
}

int main(int argc, char **argv)
{
    struct settings settings = {.port = HD_NET_NAMESERVER_PORT, .ttl_ms = TTL_MS_DEFAULT};
    hd_streams_open();
    enum hd_parse_answer answer = parse(&settings, argc, argv);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    if (settings.ttl_ms <= 0 || settings.ttl_ms > HD_NS_TTL_MS_MAX) {
        fprintf(stderr, "hd-nameserver: --ttl: more than 0 and at most 1h\n");
        return HD_EXIT_USAGE;
    }
    int stop_fd = -1;
    enum hd_code code = hd_log_start("hd-nameserver", &settings.log, &err);
    hd_notify_open();
    if (code == HD_OK)
        code = hd_stop_fd_open(&stop_fd, &err);
    if (code == HD_OK)
        code = serve(&settings, stop_fd, &err);
    if (stop_fd >= 0)
        close(stop_fd);
    if (code == HD_OK)
        return HD_EXIT_OK;
    fprintf(stderr, "hd-nameserver: %s\n", err.text);
    return code == HD_E_INVALID ? HD_EXIT_USAGE : HD_EXIT_FAILED;
}
