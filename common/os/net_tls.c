/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls.c: the user's certificate, key and CA for nng's TLS. */
#include "net_internal.h"

static bool is_set(const char *path)
{
    return path != NULL && path[0] != '\0';
}

bool hd_net_uses_tls(const struct hd_net_security *security)
{
    return security != NULL &&
           (is_set(security->cert_file) || is_set(security->key_file) || is_set(security->ca_file));
}

bool hd_net_has_tls(void)
{
    /* Builds without an engine call it "none". */
    return !hd_streq(nng_tls_engine_name(), "none");
}

static enum hd_code read_pem(const char *what, const char *path, struct hd_buf *out,
                             struct hd_err *err)
{
    enum hd_code code = hd_file_read(path, HD_NET_PEM_MAX, false, out, err);
    return code == HD_OK ? HD_OK : hd_fail_in(err, "the TLS %s", what);
}

static enum hd_code set_own_cert(nng_tls_config *config, const struct hd_net_security *security,
                                 struct hd_err *err)
{
    struct hd_buf cert, key;
    hd_buf_init(&cert, HD_NET_PEM_MAX + 1);
    hd_buf_init(&key, HD_NET_PEM_MAX + 1);
    enum hd_code code = read_pem("certificate", security->cert_file, &cert, err);
    if (code == HD_OK)
        code = read_pem("key", security->key_file, &key, err);
    if (code == HD_OK) {
        int failed = nng_tls_config_own_cert(config, hd_buf_text(&cert), hd_buf_text(&key), NULL);
        if (failed != 0)
            code = hd_fail_nng(err, failed, "cannot use the certificate %s with the key %s",
                               security->cert_file, security->key_file);
    }
    hd_buf_release(&cert);
    hd_buf_release(&key);
    return code;
}

static enum hd_code set_ca(nng_tls_config *config, const struct hd_net_security *security,
                           struct hd_err *err)
{
    struct hd_buf ca;
    hd_buf_init(&ca, HD_NET_PEM_MAX + 1);
    enum hd_code code = read_pem("CA", security->ca_file, &ca, err);
    if (code == HD_OK) {
        int failed = nng_tls_config_ca_chain(config, hd_buf_text(&ca), NULL);
        if (failed == 0)
            failed = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
        if (failed != 0)
            code = hd_fail_nng(err, failed, "cannot use the CA %s", security->ca_file);
    }
    hd_buf_release(&ca);
    return code;
}

static enum hd_code make_config(nng_tls_mode mode, const struct hd_net_security *security,
                                nng_tls_config **ret_config, struct hd_err *err)
{
    if (is_set(security->cert_file) != is_set(security->key_file))
        return hd_fail(err, HD_E_INVALID, "--cert and --key belong together: give both");
    nng_tls_config *config;
    int failed = nng_tls_config_alloc(&config, mode);
    if (failed != 0)
        return hd_fail_nng(err, failed, "cannot set up TLS");
    enum hd_code code = HD_OK;
    if (is_set(security->cert_file))
        code = set_own_cert(config, security, err);
    if (code == HD_OK && is_set(security->ca_file))
        code = set_ca(config, security, err);
    if (code != HD_OK) {
        nng_tls_config_free(config);
        return code;
    }
    *ret_config = config;
    return HD_OK;
}

enum hd_code hd_net_tls_server(const struct hd_net_security *security, nng_tls_config **ret_config,
                               struct hd_err *err)
{
    if (!is_set(security->cert_file))
        return hd_fail(err, HD_E_INVALID,
                       "a TLS server needs its own certificate: give --cert and --key");
    return make_config(NNG_TLS_MODE_SERVER, security, ret_config, err);
}

enum hd_code hd_net_tls_client(const struct hd_net_security *security, const char *host,
                               nng_tls_config **ret_config, struct hd_err *err)
{
    if (security == NULL || !is_set(security->ca_file))
        return hd_fail(err, HD_E_INVALID,
                       "%s uses TLS: give --ca, the certificate that signed its own, so that it "
                       "can be recognised",
                       host);
    nng_tls_config *config;
    enum hd_code code = make_config(NNG_TLS_MODE_CLIENT, security, &config, err);
    if (code != HD_OK)
        return code;
    int failed = nng_tls_config_server_name(config, host);
    if (failed != 0) {
        nng_tls_config_free(config);
        return hd_fail_nng(err, failed, "cannot set the TLS server name %s", host);
    }
    *ret_config = config;
    return HD_OK;
}
