/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite_faults.h: a file system below SQLite whose operations fail on command, and an allocator
 * that obeys hd_test_fail_alloc_after(). One process, one thread.
 */
#ifndef HD_SQLITE_FAULTS_H
#define HD_SQLITE_FAULTS_H

#include <stdint.h>

enum sqlite_fault {
    SQLITE_FAULT_IO,   /* the operation fails */
    SQLITE_FAULT_FULL, /* writes say that the disk is full, other operations fail */
    SQLITE_FAULT_KILL, /* SIGKILL before the operation */
    SQLITE_FAULT_HALF, /* half of a write is done, then SIGKILL */
};

/* Installs both; before the first use of SQLite in the process. */
void sqlite_faults_install(void);
/* The operation after `countdown` more fails, once; < 0: none. Restarts the count. */
void sqlite_faults_after(int64_t countdown, enum sqlite_fault fault);
/* Only syncs count. */
void sqlite_faults_sync_after(int64_t countdown);
/* No file may grow beyond this; < 0: no limit. */
void sqlite_faults_disk(int64_t file_bytes_max);
int64_t sqlite_faults_operation_count(void);  /* since sqlite_faults_after */
int64_t sqlite_faults_allocation_count(void); /* since the process began */

#endif
