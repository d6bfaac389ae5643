/* Stands between a node and its disk and clock, by LD_PRELOAD.
 *
 * What to do is in a file that the harness writes and this library maps ($CHAOS_CONTROL): how much
 * longer a sync takes, how many of the next ones fail, and how far the wall clock is off.
 *
 * Which bytes of which file are on stable storage is told in another file ($CHAOS_SYNCED): after
 * each sync that worked, the file's device and number and its length before it. After the end of
 * the process the harness cuts every file to that length, as a power cut may do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile uint64_t delay_us;
    volatile uint64_t failures;
    volatile int64_t wall_ms;
};

static struct control none;
static struct control *control = &none;
static int synced = -1;

static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void start(void) {
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("CHAOS_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *map = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED)
            control = map;
        close(fd);
    }
    path = getenv("CHAOS_SYNCED");
    if (path)
        synced = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void tell(const struct stat *file, uint64_t length) {
    uint64_t record[3] = {file->st_dev, file->st_ino, length};
    if (synced >= 0 && S_ISREG(file->st_mode) && write(synced, record, sizeof record) < 0)
        abort();
}

/* Takes one of the failures that are left. */
static int fails(void) {
    uint64_t left = control->failures;
    while (left > 0) {
        if (__sync_bool_compare_and_swap(&control->failures, left, left - 1))
            return 1;
        left = control->failures;
    }
    return 0;
}

static int sync_with(int fd, int (*real)(int), long number) {
    struct stat before;
    int known = fstat(fd, &before) == 0;
    if (control->delay_us > 0)
        usleep((useconds_t)control->delay_us);
    if (known && S_ISREG(before.st_mode) && fails()) {
        errno = EIO;
        return -1;
    }
    int done = real ? real(fd) : (int)syscall(number, fd);
    if (done == 0 && known)
        tell(&before, (uint64_t)before.st_size);
    return done;
}

int fsync(int fd) { return sync_with(fd, real_fsync, SYS_fsync); }

int fdatasync(int fd) { return sync_with(fd, real_fdatasync, SYS_fdatasync); }

/* The number of a removed file may come back for a new one, of which nothing is synced. */
int unlink(const char *path) {
    struct stat file;
    if (lstat(path, &file) == 0 && file.st_nlink == 1)
        tell(&file, 0);
    return real_unlink ? real_unlink(path) : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    int done = real_clock_gettime ? real_clock_gettime(clock, out)
                                  : (int)syscall(SYS_clock_gettime, clock, out);
    int64_t off = control->wall_ms;
    if (done == 0 && off != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = out->tv_nsec + (off % 1000) * 1000000;
        out->tv_sec += off / 1000 + (ns >= 1000000000) - (ns < 0);
        out->tv_nsec = ns + (ns < 0 ? 1000000000 : 0) - (ns >= 1000000000 ? 1000000000 : 0);
    }
    return done;
}

int gettimeofday(struct timeval *out, void *zone) {
    (void)zone;
    struct timespec now;
    int done = clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return done;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
