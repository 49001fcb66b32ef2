/* Loaded before the C library: its fsync and fdatasync take FSYNC_DELAY_MICROS longer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static struct timespec delay;

__attribute__((constructor)) static void load(void) {
    const char *text = getenv("FSYNC_DELAY_MICROS");
    long micros = text ? atol(text) : 0;
    delay.tv_sec = micros / 1000000;
    delay.tv_nsec = micros % 1000000 * 1000;
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
}

static int delayed(int (*sync)(int), int file) {
    int result = sync(file), error = errno;
    struct timespec left = delay;
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    errno = error;
    return result;
}

int fsync(int file) { return delayed(real_fsync, file); }

int fdatasync(int file) { return delayed(real_fdatasync, file); }
