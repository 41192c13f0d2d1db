mdel -i "$SEED" ::setup.txt
