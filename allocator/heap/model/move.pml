// SPDX-License-Identifier: MIT
/*
 * move.pml - may a block move while others pin, write, free and allocate it again?
 *
 * Built on: lock.c, mover.c (take_slot, flush, move_one), spans.c (hh_slot_settle),
 * recover.c (recover_notes). Units: generations, places, slots.
 * Concurrency: block 0 is pinned and written by Locker and by Owner, freed and allocated
 * again by Owner, and moved by Mover. Block 1 (Other) comes and goes in whatever place is
 * free. x86-TSO: the stores of each pinner wait in a FIFO sb[]; a CAS needs its own FIFO
 * empty; membarrier waits for each FIFO in turn. The mover's own stores need no FIFO:
 * each is followed by a CAS or a fence before anyone may see it. Allocating is by CAS
 * here; plain.pml has the plain stores, slots.pml what several lanes do to one slot.
 *
 * With NOSTRIP Owner never takes a free block from its index (fewer states).
 * Without a define no error may be found, nor with CRASH (DEATHS movers in a row may be
 * killed at any step, in recovery too). With each of these one must be:
 *   NOBAR no membarrier     SCANFIRST scan before MOVING   PLAIN commit by a store
 *   TWO NOCLAIM movers at a time and no claims   EARLY unlock before the write  MAPFIRST slot freed before W
 *   NOSETTLE old slot freed whatever W says       NOLOOK no second look at the new slot
 *   CRASH LATE recovery without the byte lock, beside the holder of the role
 *   CRASH NONOTE the slot is claimed before the note of it is written
 */
#ifndef PINS
#define PINS 1                /* pins of Locker; Owner pins once more after its realloc */
#endif
#ifndef ROUNDS
#define ROUNDS 2              /* batches of a mover */
#endif
#ifndef DEATHS
#define DEATHS 2              /* with CRASH: how many movers may be killed */
#endif
#define NP   3                /* places, one slot each */
#define CELL 7                /* address of "my pin cell" in a store buffer */
#define CLAIM(o) (4+(o))      /* slot word: claimed by a mover, or (3) by Owner */
#define OWNER 3
#define GOOD (W.st == LIVE || W.st == MOVING)
#define IS(s, g, p) (W.st == s && W.gen == g && W.pl == p)
#define NAMES(p) (W.st != BARE && W.pl == p)

mtype = { CACHED, TAKEN, BARE, LIVE, MOVING };
typedef Entry { mtype st; byte gen; byte pl };
typedef Note { bit on; byte from; byte to };
Entry W;                      /* the entry word of block 0 */
byte map[NP], mem[NP];        /* slot words: 0 free, 1 block 0, 2 block 1; a byte of data */
byte cell[2];                 /* pin cells: generation+1 or 0 */
chan sb[2] = [3] of { byte, byte, byte };     /* address, value, generation */
Note note[3];                 /* of each mover */
byte want;                    /* ghost: the last byte that landed through a valid pin */
byte held[2];                 /* ghost: validated pins whose clearing has not landed */
byte pub;                     /* the handle (generation) known to everybody */
byte left;                    /* processes not yet finished */
byte turn; bit dead;          /* who holds the mover role; one of its holders was killed */

proctype Buffer(byte me) { byte a, v, g;      /* the store buffer drains */
end: do
     :: atomic { sb[me]?a, v, g;
          if :: a == CELL -> cell[me] = v; held[me] = held[me]-g
             :: else -> assert(GOOD && W.gen == g && W.pl == a);   /* lands in its block */
                        mem[a] = v; want = v
          fi }
     od }

inline pin_write_unpin(me, g, p, v) {
     sb[me]!CELL, g+1, 0; p = NP+1;
     do :: atomic { p > NP && (W.gen != g || !GOOD) -> p = NP }           /* -ESTALE */
        :: atomic { p > NP && W.gen == g && W.st == LIVE -> p = W.pl; held[me]++ }
        :: p > NP && W.gen == g && W.st == MOVING ->                      /* abort the move */
           atomic { empty(sb[me]) ->
             if :: W.gen == g && W.st == MOVING -> W.st = LIVE; p = W.pl; held[me]++
                :: else fi }
        :: p <= NP -> break
     od;
#ifdef EARLY
     sb[me]!CELL, 0, (p < NP); if :: p < NP -> sb[me]!p, v, g :: else fi
#else
     if :: p < NP -> sb[me]!p, v, g :: else fi; sb[me]!CELL, 0, (p < NP)
#endif
}

#ifdef CRASH
#define STEP if :: skip :: me < DEATHS -> dead = 1; goto died fi;   /* SIGKILL */
#else
#define STEP
#endif

inline settle(own, i) {                         /* hh_slot_settle: end a claim by what W says */
     do
     :: map[i] != CLAIM(own) -> break
     :: else -> skip;
#ifdef NOSETTLE
        map[i] = 0
#else
        atomic { if :: !NAMES(i) -> map[i] = 0 :: else -> skip fi };
        if :: map[i] == CLAIM(own) -> skip; STEP map[i] = 1; STEP
              if :: NAMES(i) -> break
                 :: else -> atomic { if :: map[i] == 1 -> map[i] = CLAIM(own) :: else -> break fi } fi
           :: else -> break fi
#endif
     od }

inline release(own, i) {                        /* hh_slot_release */
     if :: !NAMES(i) -> atomic { if :: map[i] == 1 -> map[i] = CLAIM(own) :: else fi }; settle(own, i)
        :: else fi }

inline claim(p, who) {                        /* CAS of a free slot, wherever it is */
     atomic { p = 0; do :: p == NP -> break
                        :: p < NP && map[p] == 0 -> assert(!NAMES(p)); map[p] = who; break
                        :: p < NP && map[p] -> p++ od } }

proctype Locker() { byte g, p, n;
     do :: n < PINS -> n++; g = pub; p = 0; pin_write_unpin(0, g, p, n); p = 0 :: n == PINS -> break od;
     left-- }

proctype Owner() { byte g, p, n, me = OWNER;
     /* free, by contract while nobody holds it: a lock may be under way */
     atomic { empty(sb[1]) && !held[0] && !held[1]; assert(GOOD); W.st = CACHED; W.gen++; g++ };
     do
     :: atomic { W.st == CACHED -> W.st = LIVE; g = W.gen; want = mem[W.pl] }; break  /* pop */
     :: atomic { W.st == TAKEN -> W.st = CACHED }                    /* tells the mover not to */
#ifndef NOSTRIP
     :: atomic { !n && W.st == CACHED -> n = 1; p = W.pl;                     /* gives it up */
                 W.st = BARE; W.gen++; W.pl = NP };
        release(OWNER, p); p = 0
#endif
     :: atomic { W.st == BARE -> g = W.gen };                        /* attach, then pop */
        do :: claim(p, CLAIM(OWNER)); if :: p < NP -> break :: else fi od;
        atomic { assert(IS(BARE, g, NP)); W.st = CACHED; W.pl = p };
        settle(OWNER, p); p = 0
     od;
     pub = g;
     pin_write_unpin(1, g, p, 12);
died: left-- }

proctype Other() { byte p;                    /* block 1: claim, fill, look, give back */
     claim(p, 2);
     if :: p < NP -> mem[p] = 99; atomic { assert(mem[p] == 99 && map[p] == 2); map[p] = 0 }
        :: else fi;
     left-- }

inline recover(m, p) {                        /* recover_notes of a dead mover: restartable */
     if :: note[m].on -> skip;
           p = note[m].from;
           atomic { if :: W.st == MOVING && W.pl == p -> W.st = LIVE
                       :: W.st == TAKEN && W.pl == p -> W.st = CACHED :: else fi }; STEP
           if :: note[m].to < NP -> skip; settle(m, note[m].to); STEP release(m, note[m].to) :: else fi; STEP
           settle(m, p); STEP
           release(m, p); STEP
           note[m].on = 0
        :: else fi;
     p = 0 }

#define PINNED (cell[0] == g+1 || cell[1] == g+1)

proctype Mover(byte me) { byte g, o, p, n; mtype t; bit pinned;
#ifndef TWO
     turn == me;                                   /* the role, given up by recovery alone */
#endif
#ifdef CRASH
     p = 0;
     do :: p < me -> n = p; recover(n, o); p = n+1 :: else -> break od; n = 0; o = 0; p = 0;
#endif
     do
     :: n < ROUNDS -> n++;
        atomic { g = W.gen; o = W.pl; t = W.st };
        if :: t == BARE || t == MOVING || t == TAKEN || map[o] != 1 -> goto next :: else fi;
#ifdef SCANFIRST
        pinned = PINNED;
#endif
#ifdef NONOTE
        atomic { if :: map[o] == 1 -> map[o] = CLAIM(me) :: else -> goto next fi }; STEP
        note[me].from = o; note[me].to = NP; note[me].on = 1; STEP
#else
        note[me].from = o; note[me].to = NP; note[me].on = 1; STEP
#ifndef NOCLAIM
        atomic { if :: map[o] == 1 -> map[o] = CLAIM(me) :: else -> goto off fi }; STEP
#endif
#endif
#ifdef MAPFIRST
        map[o] = 0;
#endif
        atomic { if :: IS(t, g, o) -> W.st = (t == LIVE -> MOVING : TAKEN) :: else -> goto undo fi }; STEP
#ifndef NOBAR
        empty(sb[0]); empty(sb[1]);                /* membarrier */
#endif
#ifndef SCANFIRST
        if :: cell[0] == g+1 -> pinned = 1 :: else fi;
        if :: cell[1] == g+1 -> pinned = 1 :: else fi;
#endif
        if
        :: t == CACHED -> atomic { if :: IS(TAKEN, g, o) -> W.st = BARE; W.gen = g+1; W.pl = NP :: else fi }
        :: t == LIVE && pinned -> atomic { if :: IS(MOVING, g, o) -> W.st = LIVE :: else fi }
        :: t == LIVE && !pinned -> skip;
           p = 0;
           do :: p == NP -> break                  /* no room */
              :: p < NP && map[p] -> p++
              :: p < NP && !map[p] -> note[me].to = p; STEP
                 atomic { if :: map[p] == 0 -> assert(!NAMES(p)); map[p] = CLAIM(me); break :: else -> p++ fi }
           od; STEP
           if :: p == NP -> atomic { if :: IS(MOVING, g, o) -> W.st = LIVE :: else fi }
              :: else -> skip;
                 mem[p] = mem[o]; STEP             /* the copy */
#ifdef PLAIN
                 atomic { W.st = LIVE; W.gen = g; W.pl = p };
#else
                 atomic { if :: IS(MOVING, g, o) -> W.pl = p; W.st = LIVE :: else -> goto lost fi }; STEP
                 map[p] = 1; STEP
                 map[o] = 0; STEP
#ifndef NOLOOK
                 release(me, p);                   /* the second look, once for a batch */
#endif
                 goto off;
lost:
#endif
                 settle(me, p)
           fi
        fi; STEP
undo:   settle(me, o); STEP
off:    note[me].on = 0;
next:   g = 0; o = 0; p = 0; t = 0; pinned = 0
     :: n == ROUNDS -> break
     od;
died: turn++; left-- }

#ifdef LATE
proctype Late() { byte p, me = 2; dead || turn == DEATHS+1; recover(0, p);
died: left-- }
#endif

init { byte x;
     atomic { W.st = LIVE; map[0] = 1; left = 4;
       run Buffer(0); run Buffer(1); run Locker(); run Owner(); run Other(); run Mover(0);
#ifdef TWO
       left++; run Mover(1);
#endif
#ifdef CRASH
       left = 4 + DEATHS; run Mover(1);
       if :: DEATHS == 2 -> run Mover(2) :: else fi;
#ifdef LATE
       left++; run Late();
#endif
#endif
     };
     left == 0 && empty(sb[0]) && empty(sb[1]);
     assert(W.st == LIVE && mem[W.pl] == want && map[W.pl] == 1);
     x = 0; do :: x < NP -> assert(x == W.pl || map[x] == 0); x++ :: else -> break od }
