/* SPDX-License-Identifier: Apache-2.0 */
/* codes.c: codes and versions. */
#include "session.h"

#define TEXT_OF(number) #number
#define VERSION_OF(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *hyperdock_version(void)
{
    return VERSION_OF(HYPERDOCK_VERSION_MAJOR, HYPERDOCK_VERSION_MINOR, HYPERDOCK_VERSION_PATCH);
}

const char *hyperdock_code_name(enum hyperdock_code code)
{
    switch (code) {
    case HYPERDOCK_OK:
        return "ok";
    case HYPERDOCK_E_NOMEM:
        return "no memory";
    case HYPERDOCK_E_INVALID:
        return "invalid";
    case HYPERDOCK_E_LIMIT:
        return "limit";
    case HYPERDOCK_E_NOT_FOUND:
        return "not found";
    case HYPERDOCK_E_EXISTS:
        return "exists";
    case HYPERDOCK_E_CONFLICT:
        return "conflict";
    case HYPERDOCK_E_INACTIVE:
        return "inactive";
    case HYPERDOCK_E_BUSY:
        return "busy";
    case HYPERDOCK_E_IO:
        return "input or output";
    case HYPERDOCK_E_FULL:
        return "full";
    case HYPERDOCK_E_CORRUPT:
        return "corrupt";
    case HYPERDOCK_E_VERSION:
        return "version";
    case HYPERDOCK_E_UNSUPPORTED:
        return "unsupported";
    }
    return "unknown";
}

enum hyperdock_code library_code(enum hd_code code)
{
    switch (code) {
    case HD_OK:
        return HYPERDOCK_OK;
    case HD_E_NOMEM:
        return HYPERDOCK_E_NOMEM;
    case HD_E_INVALID:
        return HYPERDOCK_E_INVALID;
    case HD_E_LIMIT:
        return HYPERDOCK_E_LIMIT;
    case HD_E_NOTFOUND:
        return HYPERDOCK_E_NOT_FOUND;
    case HD_E_EXISTS:
        return HYPERDOCK_E_EXISTS;
    case HD_E_CONFLICT:
        return HYPERDOCK_E_CONFLICT;
    case HD_E_BUSY:
        return HYPERDOCK_E_BUSY;
    case HD_E_FULL:
        return HYPERDOCK_E_FULL;
    case HD_E_CORRUPT:
        return HYPERDOCK_E_CORRUPT;
    case HD_E_VERSION:
        return HYPERDOCK_E_VERSION;
    case HD_E_UNSUPPORTED:
        return HYPERDOCK_E_UNSUPPORTED;
    case HD_E_IO:
    case HD_E_NET: /* these three belong to the network and to programs */
    case HD_E_TIMEOUT:
    case HD_E_AUTH:
    case HD_E_CANCELLED:
        return HYPERDOCK_E_IO;
    }
    return HYPERDOCK_E_IO;
}
