. "$LIB"
make_stick "$SETUP"
mdel -i "$SEED" ::setup.txt
