/* A reference application: an infusion pump, as far as the interlock is concerned.
 *
 *     cc -std=c99 -Wall -Wextra -o pump pump.c
 *     ./pump /run/cordon/interlock.sock [LEASE_SECONDS]
 *
 * Commands come line by line on standard input: `start` (a therapy begins), `stop` (it is over), `service`, `quit`. It
 * answers each with the device's state. It renews its lease at half its time, and goes on trying where the agent is
 * restarted: a therapy never depends on the agent. Read cordon_interlock.h for what each claim promises.
 */
#define _POSIX_C_SOURCE 200809L
#include "cordon_interlock.h"

#include <poll.h>
#include <stdlib.h>

static const char *const STATES[] = {"unknown", "in_use", "standby", "service"};

struct pump {
    const char *path;
    unsigned lease_s;
    enum cordon_claim claim;
    struct cordon_interlock interlock;
};

/* Says what is true now, over a new connection where the old one is gone. The device's state, or -1. */
static int say(struct pump *pump)
{
    int state = -1;
    if (pump->interlock.fd >= 0)
        state = cordon_interlock_hold(&pump->interlock, pump->claim, pump->lease_s);
    if (state < 0) {
        cordon_interlock_close(&pump->interlock);
        if (cordon_interlock_open(&pump->interlock, pump->path) == 0)
            state = cordon_interlock_hold(&pump->interlock, pump->claim, pump->lease_s);
    }
    return state;
}

static void tell(int state)
{
    if (state < 0)
        printf("no agent: %s\n", strerror(errno));
    else
        printf("%s\n", STATES[state]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct pump pump = {NULL, 60, CORDON_STANDBY, {-1}};
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    char line[64];
    if (argc < 2) {
        fprintf(stderr, "usage: %s SOCKET [LEASE_SECONDS]\n", argv[0]);
        return 2;
    }
    pump.path = argv[1];
    if (argc > 2)
        pump.lease_s = (unsigned)strtoul(argv[2], NULL, 10);
    setvbuf(stdin, NULL, _IONBF, 0);
    tell(say(&pump));
    for (;;) {
        int ready = poll(&input, 1, (int)(pump.lease_s * 500u));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0) {
            say(&pump);
            continue;
        }
        if (ready < 0 || fgets(line, sizeof line, stdin) == NULL || strcmp(line, "quit\n") == 0)
            break;
        if (strcmp(line, "start\n") == 0)
            pump.claim = CORDON_IN_USE;
        else if (strcmp(line, "stop\n") == 0)
            pump.claim = CORDON_STANDBY;
        else if (strcmp(line, "service\n") == 0)
            pump.claim = CORDON_SERVICE;
        tell(say(&pump));
    }
    if (pump.interlock.fd >= 0)
        tell(cordon_interlock_release(&pump.interlock));
    cordon_interlock_close(&pump.interlock);
    return 0;
}
