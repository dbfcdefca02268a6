// SPDX-License-Identifier: MIT
/*
 * slots.pml - do an entry and the slot word of its block always find together again?
 *
 * Built on: spans.c (hh_slot_claim, hh_slot_settle, hh_slot_release, hh_slot_attach,
 * hh_slot_strip, hh_span_dissolve), recover.c (recover_slot). Units: slots of one span.
 * Concurrency: two lanes that hold the same index (doubles are normal after a kill) give
 * it a block and take it away again; x86-TSO: what a lane stores waits in a FIFO sb[], a
 * CAS needs its own FIFO empty. With MOVER somebody closes the span and dissolves it if
 * it is empty; with CRASH lane 1 is killed at any step and recovered.
 * Nobody may claim a slot that W names, no span that W names may be dissolved, and at
 * the end a slot is the entry's if and only if W names it.
 *
 * Without a define no error may be found. With each of these one must be:
 *   ABA index -> free at once, without a claim   NOFENCE before the second look
 *   NOLOOK no second look                        NOREREAD of the span's owner
 */
#define NS 2
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef MOVES
#define MOVES 1
#endif
#define IDX 1
#define CLAIM(o) (8+(o))
#define MOV 3
#define NOBODY 0
#define NAMES(p) ((st == CACHED) && pl == (p))
mtype = { BARE, CACHED };
mtype st = BARE; byte gen, pl = NS;
byte slot[NS];
byte d;                       /* span owner */
byte iop[3], ipl[3], imap[3]; /* intents of lanes 1, 2 (0 unused) */
chan sb[3] = [2] of { byte, byte };
bit dead; byte left = 2;

proctype Buffer(byte me) { byte a, v;
end: do :: atomic { sb[me]?a, v; slot[a] = v } od }

#ifdef CRASH
#define STEP if :: skip :: me == 1 && !dead -> atomic { dead = 1; goto died } fi
#else
#define STEP skip
#endif

inline release(o, b, i) {           /* after W stopped naming it */
#ifdef ABA
     atomic { empty(sb[b]); if :: slot[i] == IDX -> slot[i] = 0 :: else fi }
#else
     atomic { empty(sb[b]); if :: slot[i] == IDX -> slot[i] = CLAIM(o) :: else fi }; STEP;
     settle(o, b, i, i)
#endif
}
inline settle(o, b, i, place) {
     do
     :: slot[i] != CLAIM(o) -> break
     :: else -> skip;
          if :: !NAMES(place) -> sb[b]!i, 0; break
             :: else -> sb[b]!i, IDX; STEP;
#ifndef NOFENCE
                empty(sb[b]);
#endif
#ifdef NOLOOK
                break
#else
                STEP;
                if :: !NAMES(place) -> STEP;
                      atomic { empty(sb[b]); if :: slot[i] == IDX -> slot[i] =
#ifdef ABA
                      0
#else
                      CLAIM(o)
#endif
                      :: else fi }; STEP
                   :: else -> break fi
#endif
          fi
    od }

proctype Lane(byte me) { byte n, p, g; bit ok, done;
  do
  :: n < ROUNDS -> n++;
     if
     :: skip; /* attach */
        atomic { if :: st == BARE -> g = gen; ok = 1 :: else -> ok = 0 fi };
        if :: ok && d == NOBODY -> atomic { empty(sb[me]); if :: d == NOBODY -> d = me :: else fi } :: else fi;
        STEP;
        ok = ok && d == me; p = 0;
        do
        :: ok && p < NS && slot[p] != 0 -> p++
        :: ok && p < NS && slot[p] == 0 ->
#ifndef TORN
           iop[me] = 0; STEP;
#endif
           ipl[me] = p; STEP; imap[me] = p; STEP; iop[me] = 1; STEP;
           atomic { empty(sb[me]); if :: slot[p] == 0 -> assert(!NAMES(p)); slot[p] = CLAIM(me); break
                                      :: else -> p++ fi }
        :: !ok || p == NS -> break
        od;
        STEP;
        if :: ok && p < NS ->
#ifndef NOREREAD
           if :: d != me -> sb[me]!p, 0; goto none :: else fi;
#endif
           STEP;
           atomic { empty(sb[me]); if :: st == BARE && gen == g -> st = CACHED; pl = p :: else fi };
           STEP;
           settle(me, me, p, p);
        :: else
        fi;
none:   STEP; iop[me] = 0
     :: skip; /* strip */
        atomic { if :: st == CACHED -> g = gen; p = pl; ok = 1 :: else -> ok = 0 fi };
        if :: ok ->
           ipl[me] = p; imap[me] = p; iop[me] = 1; STEP;
           atomic { empty(sb[me]); if :: st == CACHED && gen == g && pl == p -> st = BARE; gen++; pl = NS; done = 1
                                      :: else -> done = 0 fi };
           STEP;
           if :: done -> release(me, me, p) :: else fi;
           STEP; iop[me] = 0
        :: else fi
     :: skip; /* leave */
        atomic { empty(sb[me]); if :: d == me -> d = NOBODY :: else fi }
     fi; g = 0; p = 0; ok = 0; done = 0
  :: n == ROUNDS -> break
  od;
died: left-- }

#ifdef CRASH
proctype Recover() { byte me = 0; byte p, q;
end: dead && empty(sb[1]);
  if :: iop[1] -> p = imap[1]; q = ipl[1];
        settle(1, 0, p, q);
        if :: slot[p] == IDX && !NAMES(q) -> release(1, 0, p) :: else fi
     :: else fi;
  iop[1] = 0;
  atomic { if :: d == 1 -> d = NOBODY :: else fi };
died: left-- }
#endif

#ifdef MOVER
proctype Mover() { byte me = 0; byte n, p, g, o; bit busy;
  do
  :: n < MOVES -> n++;
     o = d;
     if :: o == MOV -> goto next :: else fi;
     atomic { if :: d == o -> d = MOV :: else goto next fi };
     p = 0; busy = 0;
     do
     :: p < NS -> 
        if :: slot[p] == IDX ->
              atomic { if :: NAMES(p) -> st = BARE; gen++; pl = NS; g = 1 :: else -> g = 0 fi };
              if :: g -> release(0, 0, p) :: else fi
           :: else fi;
        p++
     :: p == NS -> break
     od;
     p = 0;
     do :: p < NS -> busy = busy || slot[p] != 0; p++ :: p == NS -> break od;
     if :: !busy -> assert(pl == NS) :: else fi;
     d = NOBODY;
next: p = 0; g = 0; busy = 0; o = 0
  :: n == MOVES -> break
  od; left-- }
#endif

init { byte x;
  atomic { run Buffer(0); run Buffer(1); run Buffer(2); run Lane(1); run Lane(2);
#ifdef MOVER
  left++; run Mover();
#endif
#ifdef CRASH
  left++; run Recover();
#endif
  };
#ifdef CRASH
  (left == 0 || (left == 1 && !dead)) && empty(sb[0]) && empty(sb[1]) && empty(sb[2]);
#else
  left == 0 && empty(sb[0]) && empty(sb[1]) && empty(sb[2]);
#endif
  do :: x < NS -> assert(slot[x] == (NAMES(x) -> IDX : 0)); x++ :: x == NS -> break od }
