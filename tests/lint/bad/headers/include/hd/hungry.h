/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HD_HUNGRY_H
#define HD_HUNGRY_H

uint32_t hd_hungry(void);

#endif
