/* A disk and a clock that do what they are told, for one process: LD_PRELOAD=shim.so.
 *
 * ORDERNPAY_SHIM      a file of the size of `struct control`, mapped here and changed by the test while we run
 * ORDERNPAY_SHIM_DIR  the directory whose files are played with (its own files, not those of directories in it)
 *
 * Disk: each call on one of those files may be slow, fail with an errno, or write half of what it was given.
 * Recording: everything that changes such a file or the directory is appended to the file that `log` names, after it
 * was done, so that a test can work out what would be left of it after a power cut (see power.py).
 * Clock: CLOCK_REALTIME is `clock_step` nanoseconds off. CLOCK_MONOTONIC is left alone, as by a step of a real clock.
 *
 * The -shm file of SQLite is memory to all who have it open, is written through mmap and never flushed: it is left alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { ON_WRITE = 1, ON_SYNC = 2, ON_TRUNCATE = 4, ON_READ = 8, ON_NAMES = 16 };

struct control {
    int64_t clock_step;     /* nanoseconds added to CLOCK_REALTIME */
    int32_t slow_ms;        /* how long a call takes */
    int32_t slow_on;        /* which calls */
    int32_t error;          /* errno, or 0 */
    int32_t error_on;       /* which calls */
    int32_t error_after;    /* how many succeed before */
    int32_t error_left;     /* how many fail; below 0: all */
    int32_t half_writes;    /* how many more writes come short */
    int32_t recording;
    int32_t failed, slowed, halved, syncs; /* what was done so far */
    char log[512];
};

static struct control none, *control = &none;
static char directory[PATH_MAX];
static size_t directory_length;
static int log_descriptor = -1;
static char log_open[512];

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("ORDERNPAY_SHIM"), *place = getenv("ORDERNPAY_SHIM_DIR");
    if (!path || !place) return;
    int descriptor = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    syscall(SYS_close, descriptor);
    if (mapped == MAP_FAILED) return;
    snprintf(directory, sizeof directory, "%s", place);
    directory_length = strlen(directory);
    control = mapped;
}

/* Files */

/* The name of a path below the directory, "" for the directory itself, NULL for what is none of our business. */
static const char *name_of(const char *path) {
    if (!directory_length || !path || strncmp(path, directory, directory_length)) return NULL;
    const char *rest = path + directory_length;
    if (!*rest) return rest;
    if (*rest != '/') return NULL;
    rest++;
    size_t length = strlen(rest);
    if (strchr(rest, '/') || (length > 4 && !strcmp(rest + length - 4, "-shm"))) return NULL;
    return rest;
}

static const char *name_of_descriptor(int descriptor, char path[PATH_MAX]) {
    char link[64];
    if (!directory_length) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlink, link, path, PATH_MAX - 1);
    if (length <= 0) return NULL;
    path[length] = 0;
    if (length > 10 && !strcmp(path + length - 10, " (deleted)")) path[length - 10] = 0;
    return name_of(path);
}

static uint64_t inode_of(int descriptor) {
    struct stat seen;
    return fstat(descriptor, &seen) ? 0 : seen.st_ino;
}

/* Trouble */

static void slow(int kind) {
    if (!(control->slow_on & kind) || control->slow_ms <= 0) return;
    __atomic_add_fetch(&control->slowed, 1, __ATOMIC_RELAXED);
    int32_t left = control->slow_ms; /* in slices, so that a test may end it early */
    while (left > 0 && (control->slow_on & kind)) {
        struct timespec slice = {0, (left < 20 ? left : 20) * 1000000L};
        syscall(SYS_nanosleep, &slice, NULL);
        left -= 20;
    }
}

static int fails(int kind) {
    if (!(control->error_on & kind) || !control->error) return 0;
    if (control->error_after > 0) {
        __atomic_sub_fetch(&control->error_after, 1, __ATOMIC_SEQ_CST);
        return 0;
    }
    int32_t left = __atomic_load_n(&control->error_left, __ATOMIC_SEQ_CST);
    if (left == 0) return 0;
    if (left > 0) __atomic_sub_fetch(&control->error_left, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&control->failed, 1, __ATOMIC_RELAXED);
    errno = control->error;
    return 1;
}

static int halves(void) {
    if (control->half_writes <= 0) return 0;
    __atomic_sub_fetch(&control->half_writes, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&control->halved, 1, __ATOMIC_RELAXED);
    return 1;
}

/* Records: "kind inode offset length\n" and so many bytes */

static void record(char kind, uint64_t inode, int64_t offset, const void *data, size_t length) {
    if (!control->recording) return;
    if (log_descriptor < 0 || strcmp(log_open, control->log)) {
        if (log_descriptor >= 0) syscall(SYS_close, log_descriptor);
        snprintf(log_open, sizeof log_open, "%s", control->log);
        log_descriptor = syscall(SYS_openat, AT_FDCWD, log_open, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    }
    char head[96];
    int written = snprintf(head, sizeof head, "%c %llu %lld %zu\n", kind, (unsigned long long)inode, (long long)offset,
                           length);
    struct iovec parts[2] = {{head, written}, {(void *)data, length}};
    int kept = errno;
    syscall(SYS_writev, log_descriptor, parts, 2);
    errno = kept;
}

static void record_names(char kind, uint64_t inode, const char *from, const char *to) {
    char names[2 * NAME_MAX + 2];
    int length = snprintf(names, sizeof names, "%s/%s", from, to ? to : "");
    record(kind, inode, 0, names, length);
}

/* What writes */

static ssize_t write_at(int descriptor, const void *data, size_t size, off_t offset, int positioned) {
    char path[PATH_MAX];
    const char *name = name_of_descriptor(descriptor, path);
    if (name) {
        slow(ON_WRITE);
        if (fails(ON_WRITE)) return -1;
        if (size > 1 && halves()) size /= 2;
    }
    if (name && !positioned) {
        int flags = syscall(SYS_fcntl, descriptor, F_GETFL, 0);
        offset = syscall(SYS_lseek, descriptor, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
    }
    ssize_t done = positioned ? syscall(SYS_pwrite64, descriptor, data, size, offset)
                              : syscall(SYS_write, descriptor, data, size);
    if (name && done > 0) record('w', inode_of(descriptor), offset, data, done);
    return done;
}

ssize_t write(int descriptor, const void *data, size_t size) { return write_at(descriptor, data, size, 0, 0); }
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    return write_at(descriptor, data, size, offset, 1);
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
    return write_at(descriptor, data, size, offset, 1);
}

static int truncate_to(int descriptor, off_t length) {
    char path[PATH_MAX];
    const char *name = name_of_descriptor(descriptor, path);
    if (name) {
        slow(ON_TRUNCATE);
        if (fails(ON_TRUNCATE)) return -1;
    }
    int result = syscall(SYS_ftruncate, descriptor, length);
    if (name && !result) record('t', inode_of(descriptor), length, "", 0);
    return result;
}

int ftruncate(int descriptor, off_t length) { return truncate_to(descriptor, length); }
int ftruncate64(int descriptor, off64_t length) { return truncate_to(descriptor, length); }

static int sync_of(int descriptor, long call) {
    char path[PATH_MAX];
    const char *name = name_of_descriptor(descriptor, path);
    if (!name) return syscall(call, descriptor);
    slow(ON_SYNC);
    if (fails(ON_SYNC)) { /* as Linux does it: what was to be flushed is marked clean, and may never get there */
        record('x', *name ? inode_of(descriptor) : 0, 0, "", 0);
        return -1;
    }
    int result = syscall(call, descriptor);
    __atomic_add_fetch(&control->syncs, 1, __ATOMIC_RELAXED);
    if (!result) record(*name ? 's' : 'd', inode_of(descriptor), 0, "", 0);
    return result;
}

int fsync(int descriptor) { return sync_of(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return sync_of(descriptor, SYS_fdatasync); }

static ssize_t read_at(int descriptor, void *data, size_t size, off_t offset, int positioned) {
    char path[PATH_MAX];
    if ((control->error_on | control->slow_on) & ON_READ && name_of_descriptor(descriptor, path)) {
        slow(ON_READ);
        if (fails(ON_READ)) return -1;
    }
    return positioned ? syscall(SYS_pread64, descriptor, data, size, offset)
                      : syscall(SYS_read, descriptor, data, size);
}

ssize_t read(int descriptor, void *data, size_t size) { return read_at(descriptor, data, size, 0, 0); }
ssize_t pread(int descriptor, void *data, size_t size, off_t offset) {
    return read_at(descriptor, data, size, offset, 1);
}
ssize_t pread64(int descriptor, void *data, size_t size, off64_t offset) {
    return read_at(descriptor, data, size, offset, 1);
}

/* What changes names */

static int open_at(int place, const char *path, int flags, mode_t mode) {
    const char *name = place == AT_FDCWD || (path && path[0] == '/') ? name_of(path) : NULL;
    int creates = 0;
    if (name && *name && flags & O_CREAT) {
        struct stat seen;
        creates = syscall(SYS_newfstatat, AT_FDCWD, path, &seen, 0) != 0;
        if (creates && fails(ON_NAMES)) return -1;
    }
    /* A disk that has become read-only refuses every descriptor that could write. */
    if (name && *name && (flags & O_ACCMODE) != O_RDONLY && control->error == EROFS && fails(ON_NAMES)) return -1;
    int descriptor = syscall(SYS_openat, place, path, flags, mode);
    if (descriptor >= 0 && name && *name) {
        if (creates) record_names('c', inode_of(descriptor), name, NULL);
        else if (flags & O_TRUNC) record('t', inode_of(descriptor), 0, "", 0);
    }
    return descriptor;
}

#define MODE_OF(flags)                               \
    mode_t mode = 0;                                 \
    if ((flags) & (O_CREAT | O_TMPFILE)) {           \
        va_list more;                                \
        va_start(more, flags);                       \
        mode = va_arg(more, int);                    \
        va_end(more);                                \
    }

int open(const char *path, int flags, ...) { MODE_OF(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return open_at(AT_FDCWD, path, flags, mode); }
int openat(int place, const char *path, int flags, ...) { MODE_OF(flags) return open_at(place, path, flags, mode); }
int openat64(int place, const char *path, int flags, ...) { MODE_OF(flags) return open_at(place, path, flags, mode); }

int rename(const char *from, const char *to) {
    const char *old = name_of(from), *new = name_of(to);
    if ((old || new) && fails(ON_NAMES)) return -1;
    int result = syscall(SYS_rename, from, to);
    if (!result && old && new) record_names('m', 0, old, new);
    return result;
}

int link(const char *from, const char *to) {
    const char *old = name_of(from), *new = name_of(to);
    if ((old || new) && fails(ON_NAMES)) return -1;
    int result = syscall(SYS_link, from, to);
    if (!result && old && new) record_names('l', 0, old, new);
    return result;
}

int unlink(const char *path) {
    const char *name = name_of(path);
    if (name && fails(ON_NAMES)) return -1;
    int result = syscall(SYS_unlink, path);
    if (!result && name) record_names('u', 0, name, NULL);
    return result;
}

/* The clock */

static int stepped(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (!result && stepped(clock)) {
        int64_t told = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + control->clock_step;
        now->tv_sec = told / 1000000000;
        now->tv_nsec = told % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec told;
    int result = clock_gettime(CLOCK_REALTIME, &told);
    *now = (struct timeval){told.tv_sec, told.tv_nsec / 1000};
    if (zone) memset(zone, 0, sizeof(struct timezone));
    return result;
}

time_t time(time_t *kept) {
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    if (kept) *kept = told.tv_sec;
    return told.tv_sec;
}
