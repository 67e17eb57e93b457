/* SPDX-License-Identifier: Apache-2.0 */
/* services_host.h: which machine a set of services is of. */
#ifndef HD_CLI_SERVICES_HOST_H
#define HD_CLI_SERVICES_HOST_H

#include <hd/services.h>

#include <unistd.h>

/* The name of this machine: engines are shared, and a path means something on one machine only. */
static inline const char *services_host(char host[HD_SERVICES_HOST_MAX])
{
    if (gethostname(host, HD_SERVICES_HOST_MAX) != 0)
        host[0] = '\0';
    host[HD_SERVICES_HOST_MAX - 1] = '\0';
    return host;
}

#endif
