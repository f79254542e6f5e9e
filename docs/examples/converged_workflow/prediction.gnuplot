# SPDX-License-Identifier: Apache-2.0
# prediction.dat -> prediction.png, in the current directory.
set terminal pngcairo size 1100,480 font "sans,11"
set output "prediction.png"
set multiplot layout 1,2
set grid
set key top left
only(kind, value) = strcol(1) eq kind ? value : NaN

set title "What the service learned from, and predicted"
set xlabel "atoms"
set ylabel "wall time (s)"
set xtics format "%.0s%c"
plot "prediction.dat" using 2:(only("train", $3)) with points pt 6 lc rgb "#888888" title "training runs", \
     "" using 2:(only("held_out", $3)) with points pt 7 lc rgb "#1f77b4" title "held out, measured", \
     "" using 2:(only("held_out", $4)) with points pt 2 lw 2 lc rgb "#d62728" title "held out, predicted"

set title "Held-out sizes"
set xlabel "measured wall time (s)"
set ylabel "predicted wall time (s)"
set xtics format "%g"
plot "prediction.dat" using 3:(only("held_out", $4)) with points pt 7 lc rgb "#d62728" title "held out", \
     x with lines dt 2 lc rgb "#888888" title "exact"
unset multiplot
