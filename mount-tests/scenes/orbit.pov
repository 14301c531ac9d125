// A ball that goes round on a chequered floor: each frame differs, and Hue makes the second run differ from the first.
#version 3.7;
global_settings { assumed_gamma 1.0 }
#ifndef (Hue) #declare Hue = 0.2; #end
camera { location <0, 2, -5> look_at <0, 0.5, 0> }
light_source { <4, 6, -4> color rgb 1 }
plane { y, 0 pigment { checker color rgb 0.9 color rgb <Hue, 0.3, 0.5> } }
sphere { <2 * cos(clock * 2 * pi), 1, 2 * sin(clock * 2 * pi)>, 0.8 pigment { color rgb <0.9, Hue, 0.1> } finish { reflection 0.3 phong 0.8 } }
