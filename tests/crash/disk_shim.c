/* Notes in a log every call that changes a file below one folder, and lets chosen calls fail. Preloaded into a process.

   A record is a head, the name of the file where there is one, and the octets written. A write is carried out and noted
   as one step, so that the order of the log is the order in which it happened; a sync is noted when it begins and when
   it ends, because it covers what was written before it began. shim.py is the other side. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, TRUNCATE = 4, SYNC = 8, UNLINK = 16, RENAME = 32, MKDIR = 64 };

struct head {
    char kind;
    char flag;
    uint16_t name;
    int32_t number;
    int64_t offset;
    int64_t size;
};

#define MOST 65536
static char watched[MOST];
static char folder[PATH_MAX];
static size_t folder_size;
static int log_file = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int tokens;

static int fail_kinds, fail_error;
static long fail_first, fail_step, fail_left, counted;

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void note(char kind, char flag, int number, int64_t offset, const char *name, const void *data, int64_t size) {
    struct head head = {kind, flag, name ? strlen(name) : 0, number, offset, size};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)name, head.name}, {(void *)data, data ? size : 0}};
    ssize_t wanted = sizeof head + head.name + (data ? size : 0);
    if (log_file >= 0 && writev(log_file, parts, 3) != wanted) {
        static const char words[] = "the log of the disk cannot be written\n";
        (void)!writev(2, &(struct iovec){(void *)words, sizeof words - 1}, 1);
        abort();
    }
}

static int below(const char *path) {
    return log_file >= 0 && path && strncmp(path, folder, folder_size) == 0 &&
           (path[folder_size] == '/' || !path[folder_size]);
}

static int noted(int file) { return log_file >= 0 && file >= 0 && file < MOST && watched[file]; }

/* Whether this call is one of those that are to fail. With the mutex held. */
static int fails(int kind) {
    if (!(fail_kinds & kind) || !fail_left) return 0;
    counted++;
    if (counted < fail_first || (counted - fail_first) % fail_step) return 0;
    fail_left--;
    note('x', kind, fail_error, counted, NULL, NULL, 0);
    return 1;
}

static int failed(void) {
    pthread_mutex_unlock(&mutex);
    errno = fail_error;
    return -1;
}

/* What shim.py calls. */

void disk_start(const char *path, const char *log) {
    REAL(open);
    strncpy(folder, path, sizeof folder - 1);
    folder_size = strlen(folder);
    memset(watched, 0, sizeof watched);
    fail_kinds = 0;
    fail_left = counted = 0;
    log_file = real(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
}

void disk_stop(void) {
    REAL(close);
    int file = log_file;
    log_file = -1;
    if (file >= 0) real(file);
}

void disk_mark(const char *data, long size) {
    pthread_mutex_lock(&mutex);
    note('m', 0, 0, 0, NULL, data, size);
    pthread_mutex_unlock(&mutex);
}

void disk_fail(int kinds, long first, long step, long times, int error) {
    pthread_mutex_lock(&mutex);
    fail_kinds = kinds;
    fail_first = first;
    fail_step = step;
    fail_left = times;
    fail_error = error;
    counted = 0;
    pthread_mutex_unlock(&mutex);
}

long disk_counted(void) { return counted; }

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_FOLDER"), *log = getenv("DISK_LOG"), *plan = getenv("DISK_FAIL");
    int kinds, error;
    long first, step, times;
    if (path && log) disk_start(path, log);
    if (plan && sscanf(plan, "%d:%ld:%ld:%ld:%d", &kinds, &first, &step, &times, &error) == 5)
        disk_fail(kinds, first, step, times, error);
}

/* The calls. */

static int open_noted(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    if (!below(path)) return real(path, flags, mode);
    pthread_mutex_lock(&mutex);
    if ((flags & O_CREAT) && fails(OPEN)) return failed();
    int file = real(path, flags, mode);
    if (file >= 0 && file < MOST) {
        watched[file] = 1;
        note('o', (flags & O_CREAT) != 0, file, (flags & O_TRUNC) != 0, path, NULL, 0);
    }
    pthread_mutex_unlock(&mutex);
    return file;
}

#define OPENS(name)                                                 \
    int name(const char *path, int flags, ...) {                    \
        va_list rest;                                               \
        va_start(rest, flags);                                      \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;   \
        va_end(rest);                                               \
        REAL(name);                                                 \
        return open_noted(real, path, flags, mode);                 \
    }
OPENS(open)
OPENS(open64)

int close(int file) {
    REAL(close);
    if (!noted(file)) return real(file);
    pthread_mutex_lock(&mutex);
    watched[file] = 0;
    note('c', 0, file, 0, NULL, NULL, 0);
    int result = real(file);
    pthread_mutex_unlock(&mutex);
    return result;
}

/* A write that fails has got half of its octets to the file before. */
static ssize_t write_noted(int file, const void *data, size_t size, off64_t offset, int moves) {
    __typeof__(&pwrite64) real = (__typeof__(&pwrite64))dlsym(RTLD_NEXT, "pwrite64");
    pthread_mutex_lock(&mutex);
    int fault = fails(WRITE);
    ssize_t done = real(file, data, fault ? size / 2 : size, offset);
    if (done > 0) note('w', 0, file, offset, NULL, data, done);
    if (fault) return failed();
    if (done > 0 && moves) lseek64(file, offset + done, SEEK_SET);
    pthread_mutex_unlock(&mutex);
    return done;
}

ssize_t write(int file, const void *data, size_t size) {
    REAL(write);
    return noted(file) ? write_noted(file, data, size, lseek64(file, 0, SEEK_CUR), 1) : real(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    REAL(pwrite);
    return noted(file) ? write_noted(file, data, size, offset, 0) : real(file, data, size, offset);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
    REAL(pwrite64);
    return noted(file) ? write_noted(file, data, size, offset, 0) : real(file, data, size, offset);
}

static int truncate_noted(int file, off64_t size) {
    __typeof__(&ftruncate64) real = (__typeof__(&ftruncate64))dlsym(RTLD_NEXT, "ftruncate64");
    pthread_mutex_lock(&mutex);
    if (fails(TRUNCATE)) return failed();
    int result = real(file, size);
    if (!result) note('t', 0, file, size, NULL, NULL, 0);
    pthread_mutex_unlock(&mutex);
    return result;
}

int ftruncate(int file, off_t size) {
    REAL(ftruncate);
    return noted(file) ? truncate_noted(file, size) : real(file, size);
}

int ftruncate64(int file, off64_t size) {
    REAL(ftruncate64);
    return noted(file) ? truncate_noted(file, size) : real(file, size);
}

static int sync_noted(int (*real)(int), int file) {
    pthread_mutex_lock(&mutex);
    int token = ++tokens;
    note('s', 0, file, token, NULL, NULL, 0);
    if (fails(SYNC)) {
        note('S', 1, file, token, NULL, NULL, 0);
        return failed();
    }
    pthread_mutex_unlock(&mutex);
    int result = real(file);
    pthread_mutex_lock(&mutex);
    note('S', result != 0, file, token, NULL, NULL, 0);
    pthread_mutex_unlock(&mutex);
    return result;
}

int fsync(int file) {
    REAL(fsync);
    return noted(file) ? sync_noted(real, file) : real(file);
}

int fdatasync(int file) {
    REAL(fdatasync);
    return noted(file) ? sync_noted(real, file) : real(file);
}

int unlink(const char *path) {
    REAL(unlink);
    if (!below(path)) return real(path);
    pthread_mutex_lock(&mutex);
    if (fails(UNLINK)) return failed();
    int result = real(path);
    if (!result) note('u', 0, 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&mutex);
    return result;
}

int rename(const char *path, const char *target) {
    REAL(rename);
    if (!below(path)) return real(path, target);
    pthread_mutex_lock(&mutex);
    if (fails(RENAME)) return failed();
    int result = real(path, target);
    if (!result) note('r', 0, 0, 0, path, target, strlen(target));
    pthread_mutex_unlock(&mutex);
    return result;
}

static int link_noted(const char *path, const char *target) {
    __typeof__(&link) real = (__typeof__(&link))dlsym(RTLD_NEXT, "link");
    pthread_mutex_lock(&mutex);
    if (fails(OPEN)) return failed();
    int result = real(path, target);
    if (!result) note('l', 0, 0, 0, path, target, strlen(target));
    pthread_mutex_unlock(&mutex);
    return result;
}

int link(const char *path, const char *target) {
    REAL(link);
    return below(path) ? link_noted(path, target) : real(path, target);
}

int linkat(int from, const char *path, int to, const char *target, int flags) {
    REAL(linkat);
    return below(path) ? link_noted(path, target) : real(from, path, to, target, flags);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    if (!below(path)) return real(path, mode);
    pthread_mutex_lock(&mutex);
    if (fails(MKDIR)) return failed();
    int result = real(path, mode);
    if (!result) note('d', 0, 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&mutex);
    return result;
}
