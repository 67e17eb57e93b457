/* SPDX-License-Identifier: Apache-2.0 */
#include "sqlite_faults.h"

#include <malloc.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <hd/base.h>

static struct {
    int64_t countdown;
    int64_t sync_countdown;
    int64_t file_bytes_max;
    int64_t operation_count;
    int64_t allocation_count;
    enum sqlite_fault fault;
} faults = {.countdown = -1, .sync_countdown = -1, .file_bytes_max = -1};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs fault_vfs;

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real; /* follows in memory */
};

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct fault_file *)(void *)file)->real;
}

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
    pause();
}

/* True when this operation must fail. */
static bool strikes(void)
{
    faults.operation_count++;
    if (faults.countdown < 0 || faults.countdown-- > 0)
        return false;
    if (faults.fault == SQLITE_FAULT_KILL)
        die();
    return true;
}

static int fault_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int fault_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 offset)
{
    if (strikes() && faults.fault != SQLITE_FAULT_HALF)
        return SQLITE_IOERR_READ;
    return real_of(file)->pMethods->xRead(real_of(file), bytes, size, offset);
}

static int fault_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    if (faults.file_bytes_max >= 0 && offset + size > faults.file_bytes_max)
        return SQLITE_FULL;
    if (strikes()) {
        if (faults.fault != SQLITE_FAULT_HALF)
            return faults.fault == SQLITE_FAULT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
        (void)real_of(file)->pMethods->xWrite(real_of(file), bytes, size / 2, offset);
        die();
    }
    return real_of(file)->pMethods->xWrite(real_of(file), bytes, size, offset);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (strikes())
        return SQLITE_IOERR_TRUNCATE;
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int fault_sync(sqlite3_file *file, int flags)
{
    if (faults.sync_countdown >= 0 && faults.sync_countdown-- == 0)
        return SQLITE_IOERR_FSYNC;
    if (strikes())
        return SQLITE_IOERR_FSYNC;
    /* The kernel outlives our processes: what they wrote is there without a sync, and a suite of
     * a thousand stores need not wait for a disk. */
    (void)file;
    (void)flags;
    return SQLITE_OK;
}

static int fault_file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    if (strikes())
        return SQLITE_IOERR_FSTAT;
    return real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

static int fault_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int fault_check_lock(sqlite3_file *file, int *ret)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

static int fault_control(sqlite3_file *file, int op, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
}

static int fault_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int fault_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int fault_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    if (strikes())
        return SQLITE_IOERR_SHMMAP;
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret);
}

static int fault_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void fault_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int fault_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_file_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector_size,
    .xDeviceCharacteristics = fault_characteristics,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                      int *ret_flags)
{
    (void)vfs;
    struct fault_file *fault = (struct fault_file *)(void *)file;
    fault->base.pMethods = NULL;
    fault->real = (sqlite3_file *)(void *)(fault + 1);
    if (strikes())
        return SQLITE_CANTOPEN;
    int code = real_vfs->xOpen(real_vfs, name, fault->real, flags, ret_flags);
    if (code == SQLITE_OK)
        fault->base.pMethods = &fault_methods;
    return code;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
    (void)vfs;
    if (strikes())
        return SQLITE_IOERR_DELETE;
    return real_vfs->xDelete(real_vfs, name, sync_directory);
}

/* ---- allocator ---- */

static void *fault_malloc(int size)
{
    faults.allocation_count++;
    return hd_malloc((size_t)size);
}

static void *fault_realloc(void *old, int size)
{
    faults.allocation_count++;
    return hd_realloc(old, (size_t)size);
}

static int fault_size(void *memory)
{
    return memory != NULL ? (int)malloc_usable_size(memory) : 0;
}

static int fault_round_up(int size)
{
    return (size + 7) & ~7;
}

static int fault_init(void *context)
{
    (void)context;
    return SQLITE_OK;
}

static void fault_shutdown(void *context)
{
    (void)context;
}

void sqlite_faults_install(void)
{
    static const sqlite3_mem_methods methods = {
        .xMalloc = fault_malloc,
        .xFree = hd_free,
        .xRealloc = fault_realloc,
        .xSize = fault_size,
        .xRoundup = fault_round_up,
        .xInit = fault_init,
        .xShutdown = fault_shutdown,
    };
    /* Without lookaside every allocation is seen. */
    hd_assert(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK);
    hd_assert(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK);
    hd_assert(sqlite3_initialize() == SQLITE_OK);
    real_vfs = sqlite3_vfs_find(NULL);
    hd_assert(real_vfs != NULL);
    fault_vfs = *real_vfs;
    fault_vfs.pNext = NULL;
    fault_vfs.zName = "faults";
    fault_vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    fault_vfs.xOpen = fault_open;
    fault_vfs.xDelete = fault_delete;
    hd_assert(sqlite3_vfs_register(&fault_vfs, 1) == SQLITE_OK);
}

void sqlite_faults_after(int64_t countdown, enum sqlite_fault fault)
{
    faults.countdown = countdown;
    faults.fault = fault;
    faults.operation_count = 0;
}

void sqlite_faults_sync_after(int64_t countdown)
{
    faults.sync_countdown = countdown;
}

void sqlite_faults_disk(int64_t file_bytes_max)
{
    faults.file_bytes_max = file_bytes_max;
}

int64_t sqlite_faults_operation_count(void)
{
    return faults.operation_count;
}

int64_t sqlite_faults_allocation_count(void)
{
    return faults.allocation_count;
}
