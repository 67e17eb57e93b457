/* SPDX-License-Identifier: Apache-2.0 */
/* A pure room that knows the network, the clock and a guest. */
#include <hd/net.h>
#include <nng/nng.h>
#include <time.h>
