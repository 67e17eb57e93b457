/* SPDX-License-Identifier: Apache-2.0 */
/* services_uuid.h: what a set of services is known by. */
#ifndef HD_CLI_SERVICES_UUID_H
#define HD_CLI_SERVICES_UUID_H

#include <hd/services.h>

void services_make_uuid(char uuid[HD_SERVICES_UUID_SIZE]);

#endif
