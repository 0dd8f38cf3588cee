/* The interlock in C: how a device's own software tells the agent whether the device is in use.
 *
 * One header, C99 and POSIX sockets, nothing to link. The agent listens on a Unix socket (`interlock_socket` in its
 * configuration) that its own user and root may open. Hold a lease for as long as you run, and renew it well before it
 * ends: half its seconds is a good rhythm. What it means when you cannot:
 *
 *   in use              ends by your word only. Die, close or fall silent, and it becomes unknown when the lease has run
 *                       out. Where the maker asks for the application's word, unknown counts as in use.
 *   standby, service    end with the lease, and at once with the connection: the device is then unknown.
 *
 * After a restart open a new connection and hold again: that replaces what the same user left behind. None of the calls
 * waits longer than CORDON_INTERLOCK_WAIT_S. Not safe for use by two threads at once on one connection.
 * See pump.c beside this file for an application that uses it.
 */
#ifndef CORDON_INTERLOCK_H
#define CORDON_INTERLOCK_H

#if !defined(_POSIX_C_SOURCE) || _POSIX_C_SOURCE < 200809L
#error "define _POSIX_C_SOURCE 200809L before the first include"
#endif

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

/* Seconds a call waits for the agent at most. */
#define CORDON_INTERLOCK_WAIT_S 5
/* Seconds of the longest lease that the agent takes: a day. */
#define CORDON_INTERLOCK_LEASE_MAX_S 86400u

/* What you say of the device. */
enum cordon_claim {
    CORDON_IN_USE,  /* a patient is attached, or a customer is served */
    CORDON_STANDBY, /* not in use */
    CORDON_SERVICE  /* in a person's hands for service */
};

/* What the agent says of the device, all holders together. */
enum cordon_state {
    CORDON_STATE_UNKNOWN = 0,
    CORDON_STATE_IN_USE = 1,
    CORDON_STATE_STANDBY = 2,
    CORDON_STATE_SERVICE = 3
};

/* A connection to the agent. */
struct cordon_interlock {
    int fd;
};

/* Writes a whole line; -1 and errno if that fails. A peer that is gone raises no signal. */
static inline int cordon_interlock_write(int fd, const char *line, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, line, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        line += sent;
        length -= (size_t)sent;
    }
    return 0;
}

/* Reads one line without its end; -1 and errno if there is none. */
static inline int cordon_interlock_read(int fd, char *line, size_t room)
{
    size_t filled = 0;
    while (filled + 1 < room) {
        ssize_t got = recv(fd, line + filled, 1, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = ECONNRESET;
        if (got <= 0)
            return -1;
        if (line[filled] == '\n') {
            line[filled] = '\0';
            return 0;
        }
        filled++;
    }
    errno = EMSGSIZE;
    return -1;
}

/* Asks one line. The device's state, or -1 and errno: EPROTO if the agent answered something else. */
static inline int cordon_interlock_ask(struct cordon_interlock *interlock, const char *line)
{
    static const char *const words[] = {"ok unknown", "ok in_use", "ok standby", "ok service"};
    char answer[256];
    int state;
    if (cordon_interlock_write(interlock->fd, line, strlen(line)) != 0)
        return -1;
    if (cordon_interlock_read(interlock->fd, answer, sizeof answer) != 0)
        return -1;
    for (state = 0; state < 4; state++) {
        if (strcmp(answer, words[state]) == 0)
            return state;
    }
    errno = EPROTO;
    return -1;
}

/* Connects to the agent's socket. 0, or -1 and errno: ENOENT or ECONNREFUSED where no agent runs. */
static inline int cordon_interlock_open(struct cordon_interlock *interlock, const char *path)
{
    struct sockaddr_un address;
    struct timeval wait = {CORDON_INTERLOCK_WAIT_S, 0};
    int fd, connected, kept;
    interlock->fd = -1;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    connected = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0
                && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0
                && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (!connected) {
        kept = errno;
        close(fd);
        errno = kept;
        return -1;
    }
    interlock->fd = fd;
    return 0;
}

/* Holds, or renews what is held, for so many seconds. The device's state, or -1 and errno. */
static inline int cordon_interlock_hold(struct cordon_interlock *interlock, enum cordon_claim claim,
                                        unsigned seconds)
{
    static const char *const words[] = {"in_use", "standby", "service"};
    char line[64];
    if ((unsigned)claim > 2u || seconds == 0u || seconds > CORDON_INTERLOCK_LEASE_MAX_S) {
        errno = EINVAL;
        return -1;
    }
    snprintf(line, sizeof line, "hold %s %u\n", words[claim], seconds);
    return cordon_interlock_ask(interlock, line);
}

/* Ends what this connection holds, and what the same user left behind. The device's state, or -1 and errno. */
static inline int cordon_interlock_release(struct cordon_interlock *interlock)
{
    return cordon_interlock_ask(interlock, "release\n");
}

/* The device's state, or -1 and errno. */
static inline int cordon_interlock_status(struct cordon_interlock *interlock)
{
    return cordon_interlock_ask(interlock, "status\n");
}

/* Closes the connection. What it held ends as if you had died: release first. */
static inline void cordon_interlock_close(struct cordon_interlock *interlock)
{
    if (interlock->fd >= 0)
        close(interlock->fd);
    interlock->fd = -1;
}

#endif
