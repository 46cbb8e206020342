/* Makes file-changing calls of a process fail, or ends it there with SIGKILL. Loaded with LD_PRELOAD.

   Only files below a folder count. The calls are those of libc, so what Python, GDAL, SQLite and Rust write
   passes here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, COUNT_ALL, COUNT_WRITES, KILL, FAIL_ONCE, FAIL_FROM };

static int mode = OFF, error_number = EIO;
static long place = 0, counted = 0;
static char folder[4096] = "";

void faults_arm(const char *below, int new_mode, long at, int number) {
    strncpy(folder, below, sizeof folder - 1);
    counted = 0, place = at, error_number = number, mode = new_mode;
}

long faults_counted(void) { return counted; }

static int below_folder(const char *path) {
    return path != NULL && folder[0] && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_watched(int handle) {
    char link[64], path[4096];
    if (mode == OFF) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below_folder(path);
}

static int at_place(int is_write) {
    if (mode == OFF || ((mode == COUNT_WRITES || mode >= FAIL_ONCE) && !is_write)) return 0;
    long number = __sync_add_and_fetch(&counted, 1);
    if (mode == KILL || mode == FAIL_ONCE) return number == place;
    return mode == FAIL_FROM && number >= place;
}

/* True if a call is to fail; does not return where the process is to end. */
static int fails(int is_write) {
    if (!at_place(is_write)) return 0;
    if (mode == KILL) kill(getpid(), SIGKILL);
    errno = error_number;
    return 1;
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__) = NULL; \
    if (real == NULL) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define WRITE(name, ...) /* half of the bytes arrive before the process ends */ \
    if (is_watched(handle) && at_place(1)) { \
        if (mode == KILL) { real(handle, data, size / 2 __VA_ARGS__); kill(getpid(), SIGKILL); } \
        errno = error_number; return -1; \
    } \
    return real(handle, data, size __VA_ARGS__)

ssize_t write(int handle, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    WRITE("write");
}
ssize_t pwrite(int handle, const void *data, size_t size, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    WRITE("pwrite", , at);
}
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    WRITE("pwrite64", , at);
}
ssize_t writev(int handle, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    if (is_watched(handle) && fails(1)) return -1;
    return real(handle, parts, count);
}
size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    REAL(size_t, "fwrite", const void *, size_t, size_t, FILE *);
    if (is_watched(fileno(file)) && fails(1)) return 0;
    return real(data, size, count, file);
}
int fsync(int handle) {
    REAL(int, "fsync", int);
    if (is_watched(handle) && fails(1)) return -1;
    return real(handle);
}
int fdatasync(int handle) {
    REAL(int, "fdatasync", int);
    if (is_watched(handle) && fails(1)) return -1;
    return real(handle);
}
int ftruncate(int handle, off_t size) {
    REAL(int, "ftruncate", int, off_t);
    if (is_watched(handle) && fails(1)) return -1;
    return real(handle, size);
}
int ftruncate64(int handle, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    if (is_watched(handle) && fails(1)) return -1;
    return real(handle, size);
}

#define PATH_CALL() \
    if (mode != OFF && below_folder(path) && fails(0)) return -1

int rename(const char *path, const char *target) {
    REAL(int, "rename", const char *, const char *);
    PATH_CALL();
    return real(path, target);
}
int link(const char *path, const char *target) {
    REAL(int, "link", const char *, const char *);
    PATH_CALL();
    return real(path, target);
}
int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    PATH_CALL();
    return real(path);
}
int unlinkat(int handle, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    if ((below_folder(path) || is_watched(handle)) && fails(0)) return -1;
    return real(handle, path, flags);
}
int mkdir(const char *path, mode_t rights) {
    REAL(int, "mkdir", const char *, mode_t);
    PATH_CALL();
    return real(path, rights);
}
int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    PATH_CALL();
    return real(path);
}

#define OPEN(name) \
    REAL(int, name, const char *, int, ...); \
    va_list further; \
    va_start(further, flags); \
    mode_t rights = va_arg(further, mode_t); \
    va_end(further); \
    if (flags & (O_CREAT | O_TRUNC)) { PATH_CALL(); } \
    return real(path, flags, rights)

int open(const char *path, int flags, ...) { OPEN("open"); }
int open64(const char *path, int flags, ...) { OPEN("open64"); }

#define FOPEN(name) \
    REAL(FILE *, name, const char *, const char *); \
    if (mode != OFF && below_folder(path) && strpbrk(how, "wa+") && fails(0)) return NULL; \
    return real(path, how)

FILE *fopen(const char *path, const char *how) { FOPEN("fopen"); }
FILE *fopen64(const char *path, const char *how) { FOPEN("fopen64"); }
