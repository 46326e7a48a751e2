/* Counts, records and breaks the I/O calls that a process makes below one folder: Python's and SQLite's alike.
 *
 * Loaded with LD_PRELOAD. It stands before libc's functions and makes the system calls itself, on Linux with 64-bit
 * file offsets. A process tells by ctypes what is to happen; see tests/campaign/shim.py for the meaning.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, EXIT, FAIL, TEAR, STOP };
enum { WRITES = 1, READS = 2 };
enum { N_FILES = 4096, LONGEST = 512 };

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static char folder[LONGEST];
static char names[N_FILES][LONGEST]; /* of the open files below the folder, by descriptor */
static int action, error_number, is_for_good, mask, log_file = -1;
static long n_calls, wanted;

static int is_below(const char *path)
{
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int is_watched(int file)
{
    return file >= 0 && file < N_FILES && names[file][0];
}

/* Stops the whole process until somebody lets it go on, this thread before it does anything else. */
static void stop(void)
{
    int before = errno;
    syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGSTOP);
    errno = before;
}

/* Counts one call. Returns 1 where it must fail; does not return where the process must end. Holds the guard. */
static int falls(int kind)
{
    if (!(mask & kind))
        return 0;
    n_calls++;
    if (action == STOP)
        stop();
    if (!wanted || n_calls < wanted || (n_calls > wanted && !is_for_good))
        return 0;
    if (action == EXIT)
        _exit(77);
    if (action == FAIL) {
        errno = error_number;
        return 1;
    }
    return 0;
}

static void put(const void *bytes, size_t length)
{
    const char *place = bytes;
    while (length) {
        ssize_t n = syscall(SYS_write, log_file, place, length);
        if (n <= 0)
            _exit(78);
        place += n;
        length -= n;
    }
}

static void record(char kind, int file, int64_t offset, int64_t length, const char *path, const char *other,
                   const void *content)
{
    if (log_file < 0)
        return;
    int before = errno;
    struct __attribute__((packed)) {
        int8_t kind;
        int32_t file;
        int64_t offset, length;
        uint16_t n_path, n_other;
    } head = {kind, file, offset, length, path ? strlen(path) : 0, other ? strlen(other) : 0};
    put(&head, sizeof head);
    put(path, head.n_path);
    put(other, head.n_other);
    if (content)
        put(content, length);
    errno = before;
}

/* What tests call. */

void faults_watch(const char *path)
{
    snprintf(folder, sizeof folder, "%s", path);
}

void faults_arm(int what, long n, int error, int for_good, int kinds)
{
    pthread_mutex_lock(&guard);
    action = what, wanted = n, error_number = error, is_for_good = for_good, mask = kinds, n_calls = 0;
    pthread_mutex_unlock(&guard);
}

long faults_count(void)
{
    return n_calls;
}

int faults_log(const char *path)
{
    pthread_mutex_lock(&guard);
    if (log_file >= 0)
        syscall(SYS_close, log_file);
    log_file = -1;
    if (path)
        log_file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    pthread_mutex_unlock(&guard);
    return log_file;
}

/* Notes that what was asked for was done, for those who replay the log. */
void faults_mark(void)
{
    pthread_mutex_lock(&guard);
    record('a', -1, 0, 0, NULL, NULL, NULL);
    pthread_mutex_unlock(&guard);
}

/* What stands before libc's. */

static int opened(const char *path, int flags, mode_t mode)
{
    if (!is_below(path)) {
        int file = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
        if (file >= 0 && file < N_FILES)
            names[file][0] = 0;
        return file;
    }
    pthread_mutex_lock(&guard);
    int file = -1;
    if (!falls(WRITES)) {
        int is_new = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
        file = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
        if (file >= 0 && file < N_FILES) {
            snprintf(names[file], LONGEST, "%s", path);
            record(is_new ? 'c' : flags & O_TRUNC ? 't' : 'o', file, 0, 0, path, NULL, NULL);
        }
    }
    pthread_mutex_unlock(&guard);
    return file;
}

#define OPEN(name)                                        \
    int name(const char *path, int flags, ...)            \
    {                                                     \
        va_list rest;                                     \
        va_start(rest, flags);                            \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                     \
        return opened(path, flags, mode);                 \
    }
OPEN(open)
OPEN(open64)

/* The path of a name below an open folder; the name alone where that is not watched. */
static const char *joined(int at, const char *path, char *whole)
{
    if (path[0] == '/' || at == AT_FDCWD || !is_watched(at))
        return path;
    snprintf(whole, LONGEST, "%.255s/%.255s", names[at], path);
    return whole;
}

#define OPENAT(name)                                      \
    int name(int at, const char *path, int flags, ...)    \
    {                                                     \
        va_list rest;                                     \
        va_start(rest, flags);                            \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                     \
        char whole[LONGEST];                              \
        const char *found = joined(at, path, whole);      \
        if (found == path && path[0] != '/') {            \
            int file = syscall(SYS_openat, at, path, flags, mode); \
            if (file >= 0 && file < N_FILES)              \
                names[file][0] = 0;                       \
            return file;                                  \
        }                                                 \
        return opened(found, flags, mode);                \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int file)
{
    if (is_watched(file)) {
        pthread_mutex_lock(&guard);
        names[file][0] = 0;
        record('x', file, 0, 0, NULL, NULL, NULL);
        pthread_mutex_unlock(&guard);
    }
    return syscall(SYS_close, file);
}

static ssize_t written(int file, const void *content, size_t length, off_t offset, int is_placed)
{
    pthread_mutex_lock(&guard);
    ssize_t n = -1;
    if (!falls(WRITES)) {
        int is_torn = action == TEAR && n_calls == wanted;
        if (!is_placed)
            offset = syscall(SYS_lseek, file, 0, SEEK_CUR);
        if (is_torn)
            length /= 2;
        if (action == STOP && length > 1 && n_calls % wanted == error_number) {
            if (is_placed)
                syscall(SYS_pwrite64, file, content, length / 2, offset);
            else if (syscall(SYS_write, file, content, length / 2) >= 0)
                syscall(SYS_lseek, file, offset, SEEK_SET);
            stop();
        }
        n = is_placed ? syscall(SYS_pwrite64, file, content, length, offset)
                      : syscall(SYS_write, file, content, length);
        if (is_torn)
            _exit(77);
        if (n > 0)
            record('w', file, offset, n, NULL, NULL, content);
    }
    pthread_mutex_unlock(&guard);
    return n;
}

ssize_t write(int file, const void *content, size_t length)
{
    return is_watched(file) ? written(file, content, length, 0, 0) : syscall(SYS_write, file, content, length);
}

#define PWRITE(name)                                                               \
    ssize_t name(int file, const void *content, size_t length, off_t offset)      \
    {                                                                             \
        return is_watched(file) ? written(file, content, length, offset, 1)       \
                                : syscall(SYS_pwrite64, file, content, length, offset); \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

static ssize_t taken(int file, void *content, size_t length, off_t offset, int is_placed)
{
    if (is_watched(file) && (mask & READS)) {
        pthread_mutex_lock(&guard);
        int must_fail = falls(READS);
        pthread_mutex_unlock(&guard);
        if (must_fail)
            return -1;
    }
    return is_placed ? syscall(SYS_pread64, file, content, length, offset) : syscall(SYS_read, file, content, length);
}

ssize_t read(int file, void *content, size_t length)
{
    return taken(file, content, length, 0, 0);
}

ssize_t pread(int file, void *content, size_t length, off_t offset)
{
    return taken(file, content, length, offset, 1);
}

ssize_t pread64(int file, void *content, size_t length, off_t offset)
{
    return taken(file, content, length, offset, 1);
}

static int on_file(char kind, int file, off_t length, long number)
{
    if (!is_watched(file))
        return kind == 'l' ? syscall(number, file, length) : syscall(number, file);
    pthread_mutex_lock(&guard);
    int result = -1;
    if (!falls(WRITES)) {
        result = kind == 'l' ? syscall(number, file, length) : syscall(number, file);
        if (!result)
            record(kind, file, length, 0, NULL, NULL, NULL);
    }
    pthread_mutex_unlock(&guard);
    return result;
}

int ftruncate(int file, off_t length) { return on_file('l', file, length, SYS_ftruncate); }
int ftruncate64(int file, off_t length) { return on_file('l', file, length, SYS_ftruncate); }
int fsync(int file) { return on_file('s', file, 0, SYS_fsync); }
int fdatasync(int file) { return on_file('s', file, 0, SYS_fdatasync); }

static int on_path(char kind, const char *path, const char *other, mode_t mode)
{
    int is_seen = is_below(path) || (other && is_below(other));
    pthread_mutex_lock(&guard);
    int result = -1;
    if (!is_seen || !falls(WRITES)) {
        if (kind == 'r')
            result = syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, 0);
        else if (kind == 'm')
            result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
        else
            result = syscall(SYS_unlinkat, AT_FDCWD, path, kind == 'd' ? AT_REMOVEDIR : 0);
        if (is_seen && !result)
            record(kind, -1, 0, 0, path, other, NULL);
    }
    pthread_mutex_unlock(&guard);
    return result;
}

int rename(const char *path, const char *other) { return on_path('r', path, other, 0); }
int unlink(const char *path) { return on_path('u', path, NULL, 0); }
int rmdir(const char *path) { return on_path('d', path, NULL, 0); }

int unlinkat(int at, const char *path, int flags)
{
    char whole[LONGEST];
    const char *found = joined(at, path, whole);
    if (found == path && path[0] != '/')
        return syscall(SYS_unlinkat, at, path, flags);
    return on_path(flags & AT_REMOVEDIR ? 'd' : 'u', found, NULL, 0);
}

int mkdir(const char *path, mode_t mode) { return on_path('m', path, NULL, mode); }
