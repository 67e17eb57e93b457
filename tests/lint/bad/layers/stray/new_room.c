/* SPDX-License-Identifier: Apache-2.0 */
int stray_thing;
